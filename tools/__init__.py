"""What builds and releases the project: its environment, images, one-file manifest, linters' verdicts and figures."""
