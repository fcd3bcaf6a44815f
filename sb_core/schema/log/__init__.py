"""The embedded log's schema: numbered SQL files, applied in order, never changed once released."""
