"""Models of sentiment from labelled texts to what scores: trained or imported, measured, registered, promoted."""
