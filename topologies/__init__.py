"""The lab: a whole cluster with its client and server on one machine."""
