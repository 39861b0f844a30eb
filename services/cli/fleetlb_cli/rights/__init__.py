"""What each service may do in Kubernetes: one file of rules for each, the only place where rights are written.

The charts carry copies of the files, and `fleetlb local` grants the same to the services that it starts.
"""
