"""Sample domains and hear their events: the kernel's files, libvirt's calls, the QEMU monitor."""
