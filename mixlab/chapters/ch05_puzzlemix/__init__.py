"""What only the chapter on Puzzle Mix needs."""
