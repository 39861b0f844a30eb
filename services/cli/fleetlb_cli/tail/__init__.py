"""`fleetlb tail`: the fleet's messages as they are sent, in words."""
