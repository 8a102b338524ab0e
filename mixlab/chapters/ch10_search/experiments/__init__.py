"""The experiments of the chapter on architecture search."""
