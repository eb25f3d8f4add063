"""Claims of the documents, their checks and verdicts."""
