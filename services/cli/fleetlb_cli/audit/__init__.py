"""`fleetlb audit`: looks at a live fleet from outside and checks what it promises. Writes nothing."""
