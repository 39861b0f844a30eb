"""Watches one tenant cluster: tells the hub what is wished there, and tells the tenant what became of it."""
