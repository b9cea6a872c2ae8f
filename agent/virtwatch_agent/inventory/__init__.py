"""Find libvirt sockets and QEMU processes."""
