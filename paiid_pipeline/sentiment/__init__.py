"""Sentiment of texts, and its decayed mean at a decision. Pure."""
