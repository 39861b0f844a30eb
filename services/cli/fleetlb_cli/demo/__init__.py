"""The demonstration: two tenants' Services on a local fleet, from nothing to bytes through their VIPs and back."""
