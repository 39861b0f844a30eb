"""What fleetlb's parts say to one another: messages on the bus, objects in the API server. No I/O, no decisions."""
