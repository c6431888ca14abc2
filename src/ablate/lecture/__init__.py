"""The lecture: its studies, claims and figures in `conf`, loaded like a user's `--config-dir`, and their code."""
