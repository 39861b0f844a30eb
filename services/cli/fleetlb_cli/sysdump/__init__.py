"""`fleetlb sysdump`: what a fleet says of itself, in one file for whoever is asked for help. No secret is in it."""
