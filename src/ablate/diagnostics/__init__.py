"""Measurements of a net, one idea a file; each is a pure function of a `Probe`."""
