"""The migrations: `v<number>_<what>.py`, each with the revision of its number."""
