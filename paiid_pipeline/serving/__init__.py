"""What is answered to applications, read-only: hot results, explanations, sentiment on demand."""
