"""Runs that another program makes or has made: reading its results, and running its command; starts without torch."""
