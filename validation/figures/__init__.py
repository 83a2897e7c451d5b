"""Figures of papers and pages: details by several methods, activations, gains and attention, tables over timesteps."""
