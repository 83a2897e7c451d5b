"""Diffusion models: the noising process, the DDIM sampler, the blocks of their networks, what all of them share."""
