"""Sweeps and studies: plan the runs, do what is missing, judge and report; starts without torch."""
