"""Export: a trained module becomes its deploy form, and the deploy form an artefact that runs through our kernels."""
