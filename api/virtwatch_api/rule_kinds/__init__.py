"""One module per kind of rule: how it is read, written, described to the API server, and what it needs."""
