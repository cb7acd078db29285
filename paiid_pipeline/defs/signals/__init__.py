"""Trading signals at each decision time."""
