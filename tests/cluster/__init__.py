"""Several real nodes on one file."""
