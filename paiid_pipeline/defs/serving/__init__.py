"""Hot results in Redis."""
