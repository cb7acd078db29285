"""News and market bars in; sentiment, indicators and trading signals out."""
