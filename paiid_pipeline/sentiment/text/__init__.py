"""Reading a text: normalising, language, personal data, spelling, comparisons, entities, duplicates."""
