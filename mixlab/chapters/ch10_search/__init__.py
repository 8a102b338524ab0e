"""What only the chapter on architecture search needs."""
