"""The Envoy engine: virtual servers become Listener, Cluster and endpoints, sent by delta ADS over a unix socket.

resources and delta decide (pure), engine keeps the wishes, server speaks gRPC. Nothing outside this package may import
grpc or google.protobuf.
"""
