"""What only the chapter on the sample generator needs."""
