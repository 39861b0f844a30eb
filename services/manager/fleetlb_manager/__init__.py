"""The manager: owns addresses, tenancy and policy. Turns what tenants observe into what balancer nodes should serve."""
