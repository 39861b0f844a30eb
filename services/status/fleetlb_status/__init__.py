"""The status service: whether a load balancer is provisioned and serves, told to its object and to its tenant."""
