"""One run: its description, the training loop and its record."""
