"""Training of 1-bit super-resolution networks: binarizers, layers, models, data, metrics, trainer (PyTorch only)."""
