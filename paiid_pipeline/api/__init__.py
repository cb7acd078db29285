"""Hot results and explanations over HTTP."""
