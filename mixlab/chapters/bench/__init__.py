"""The bench: the setting in which this book compares methods, and what was measured to choose it."""
