"""The experiments of the page, one file each."""
