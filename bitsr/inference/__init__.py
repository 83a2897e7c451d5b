"""Run a network on pictures: sessions over the runtimes, tiles for any size, files and folders."""
