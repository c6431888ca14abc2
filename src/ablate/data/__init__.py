"""Data sets, and what is done to images before the net sees them."""
