"""What only the chapter on choosing data needs."""
