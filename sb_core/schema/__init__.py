"""The store's schema: numbered SQL files, applied in order, never changed once released."""
