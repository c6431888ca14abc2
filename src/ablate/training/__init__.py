"""One run: from its description over the training loop to its record."""
