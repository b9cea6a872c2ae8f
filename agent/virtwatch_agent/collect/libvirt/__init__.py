"""Readings and events of domains that libvirt and the QEMU monitor give."""
