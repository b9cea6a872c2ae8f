"""Real libvirt and QEMU guests: KubeVirt's shape (one libvirtd per guest) and a plain host's, without Kubernetes."""
