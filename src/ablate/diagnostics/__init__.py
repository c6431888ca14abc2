"""Measurements of a net, one per file; each is a pure function of a `Probe`."""
