"""Fakes and real servers for tests. Shipped beside the ports they stand in for; imported by tests only."""
