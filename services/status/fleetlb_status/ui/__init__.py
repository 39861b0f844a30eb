"""The read-only page: a fleet as it is now, and why it is so."""
