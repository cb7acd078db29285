"""Assets of models."""
