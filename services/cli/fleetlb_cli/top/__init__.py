"""`fleetlb top`: tenants, balancer groups or balancer nodes, looked at again and again."""
