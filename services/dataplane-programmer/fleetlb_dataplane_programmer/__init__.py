"""The dataplane-programmer: makes one balancer node serve what its group desires, and says what became of it."""
