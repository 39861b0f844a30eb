"""A balancer node outside of Kubernetes: its files, as systemd and a Debian host have them."""
