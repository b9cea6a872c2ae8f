"""From an agent's transitions to Kubernetes Events, once."""
