"""What every room uses: errors, files, seeds, hardware, descriptions of objects."""
