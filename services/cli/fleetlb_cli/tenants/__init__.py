"""`fleetlb tenant`: lets tenants in, shows how they are, renews what they connect with, and sees them off."""
