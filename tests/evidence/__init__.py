"""Evidence: what the worker promises, measured under faults that are brought about on purpose."""
