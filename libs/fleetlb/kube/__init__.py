"""Kubernetes, spoken once for all services: typed requests, list-and-watch, leases, patches.

Knows HTTP, credentials and API machinery. Must not know load balancing: no rule about Services, tenants or addresses
stands here, and everything is generic over the struct that a caller wants decoded.
"""
