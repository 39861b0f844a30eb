"""`fleetlb restore`: after the management cluster was put back to an older state."""
