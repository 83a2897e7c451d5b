"""ExecuTorch: the deploy form becomes a .pte whose body runs in ``BitsrBackend``."""
