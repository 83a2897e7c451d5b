"""The relay of the shipped weights: which training is next, its state in the repository, and what each leg brought."""
