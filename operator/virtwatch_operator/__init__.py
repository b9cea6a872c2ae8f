"""The operator: reconcile policies, announce transitions, roll up what nodes report."""
