"""Readings of QEMU processes from the kernel's files: cheap, and never hanging."""
