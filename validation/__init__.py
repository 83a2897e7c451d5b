"""Prove that an artefact computes what PyTorch computes, and measure how fast."""
