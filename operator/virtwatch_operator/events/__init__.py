"""The sink that tells alerts as Kubernetes Events, within budgets."""
