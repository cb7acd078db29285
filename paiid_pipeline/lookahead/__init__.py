"""The proof that no decision looked ahead."""
