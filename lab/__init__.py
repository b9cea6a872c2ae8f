"""A real Kubernetes, real libvirt guests and a real OTLP backend on one machine, without Docker."""
