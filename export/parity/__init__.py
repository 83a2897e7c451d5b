"""Which op of an artifact is which call of the deploy form, and whether it holds the same numbers."""
