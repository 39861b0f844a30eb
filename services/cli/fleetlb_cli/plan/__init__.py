"""`fleetlb plan`: what would become of a manifest, by the decisions of those who decide."""
