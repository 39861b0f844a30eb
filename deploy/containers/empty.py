"""Makes the folders of an image that somebody writes to; runs while the image is built."""

from pathlib import Path

READERS = ("safe", "nats", "etcd", "management", "tenant", "manager", "status", "node", "watcher", "operator", "user")
"""A new volume takes the owner of the folder that it is mounted on."""

for folder in ("var/lib/fleetlb", "run/fleetlb", "etc/fleetlb"):
    Path("/empty", folder).mkdir(parents=True)
for reader in READERS:
    Path("/keys-empty/keys", reader).mkdir(parents=True)
