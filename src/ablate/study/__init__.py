"""A study as plain data, its runs, and what is known of them; no torch."""
