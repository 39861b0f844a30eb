"""The local fleet: every real part of fleetlb as processes of one ordinary user on loopback.

For trying the product, the demo and the tests. It knows how to start things, never how fleetlb decides anything.
"""
