"""`fleetlb bench`: measures a running local fleet, and in the same run the floor that no controller can beat."""
