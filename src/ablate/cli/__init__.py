"""The command `ablate`: from the command line to a run, a sweep, a study or a figure. Only this package uses Hydra."""
