"""VIPs on the link: a balancer node answers ARP and neighbour discovery for those it owns, and tells when it takes one.

frames, answering, pacing and filtering decide (pure); link, memberships and switches do; interface joins them. Whoever
uses it says which VIPs are owned, and whether this node may speak at this moment. Only link opens packet sockets.
"""
