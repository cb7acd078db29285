"""Read-only results for applications: hot results, explanations, sentiment on demand."""
