"""Container images without a registry: made here, loaded into a node's containerd from an archive."""
