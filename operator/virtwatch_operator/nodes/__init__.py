"""NodeMonitors for the nodes that have an agent."""
