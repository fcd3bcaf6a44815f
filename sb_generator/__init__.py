"""Feeds for the pipeline: a simulated world of four sports, and recorded files."""
