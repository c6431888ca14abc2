"""Results as data: tables of runs, histories and verdicts, and their export to files and trackers."""
