"""Prove that an artifact computes what PyTorch computes, and measure how fast."""
