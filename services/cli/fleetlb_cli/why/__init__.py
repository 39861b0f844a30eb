"""`fleetlb why` and `fleetlb trace`: where a Service is on its way, what keeps it there, and what to do."""
