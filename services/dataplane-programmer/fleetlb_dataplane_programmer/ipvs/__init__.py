"""The IPVS engine: virtual servers become entries of the kernel's table, by our own generic-netlink codec.

entries, wire, netlink, translating, diffing and draining decide (pure); kernel, routes, nft and sysctls do. Only kernel
opens the IPVS socket; only routes imports pyroute2.
"""
