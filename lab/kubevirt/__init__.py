"""KubeVirt itself, built from its module, installed by its own operator; its VMs are emulated."""
