"""What an exported network is on disk: its metadata, its container formats and the program that our kernels run."""
