"""The command `ablate`, and all that knows of Hydra: from words to a run, a sweep, a study or a figure."""
