"""Figures of papers and pages: details of pictures by several methods beside each other."""
