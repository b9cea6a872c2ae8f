"""checkov, a linter of manifests that users run, and what it finds in ours."""
