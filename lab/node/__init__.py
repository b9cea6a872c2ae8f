"""Real Kubernetes nodes on one machine: containerd and kubelet, each node in namespaces of its own."""
