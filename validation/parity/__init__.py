"""Whether an artifact computes what the eager deploy form computes: op by op, whole pictures, steps of diffusion."""
