"""Measurements: each run on a fresh pipeline in a process of its own, several runs, median and range."""
