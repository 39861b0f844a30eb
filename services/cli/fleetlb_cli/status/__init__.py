"""`fleetlb status`: the whole fleet on one screen, what is wrong with it, and what to look at next."""
