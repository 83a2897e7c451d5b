"""What every part of bitsr uses: errors and file handling."""
