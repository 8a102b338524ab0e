"""The experiments of the chapter on the sample generator."""
