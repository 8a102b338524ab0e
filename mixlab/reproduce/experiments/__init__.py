"""The experiments of the book, one file each; see `mixlab.reproduce` for how to add one."""
