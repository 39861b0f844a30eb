"""Stands for the machine of a balancer node: holds its network, which Envoy and the programmer share, and so outlives
both. The addresses of the pool are this machine's own from its start to its end.

    POOL_CIDR=CIDR balancer_node.py
"""

import os
import signal

from pyroute2 import IPRoute

LOCAL_TABLE = 255


def main() -> None:
    """Wait for the end."""
    ended = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    with IPRoute() as netlink:
        (loopback,) = netlink.link_lookup(ifname="lo")
        netlink.route(
            "replace", dst=os.environ["POOL_CIDR"], type="local", table=LOCAL_TABLE, scope="host", oif=loopback
        )
    print(f"{os.environ['POOL_CIDR']} is local", flush=True)
    signal.sigwait(ended)


if __name__ == "__main__":
    main()
