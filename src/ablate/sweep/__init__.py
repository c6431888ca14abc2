"""Doing the runs of studies: what is missing is launched until nothing is; no torch."""
