"""The command `fleetlb`: for operators, for demonstrations, and for a whole fleet on one machine."""
