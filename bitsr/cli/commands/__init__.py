"""One module for each command, by its name. They import what computes where they use it, so that --help is quick."""
