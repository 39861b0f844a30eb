"""Beginning a hub: its keys, its accounts, and the users that its processes are."""
