"""What is learnt from the past, and how well it would have done."""
