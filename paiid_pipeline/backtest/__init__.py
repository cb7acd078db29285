"""What looks ahead: labels, forward returns, walk-forward splits, accounts. Nothing that decides imports it."""
