"""From what nodes report to the status of policies."""
