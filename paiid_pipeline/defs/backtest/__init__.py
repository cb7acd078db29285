"""The backtest asset."""
