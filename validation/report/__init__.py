"""The report of a validation: one HTML file that needs nothing else."""
