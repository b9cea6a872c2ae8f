"""What libvirt knows beside domains, as sources of readings: one connection for each libvirt and kind of object."""
