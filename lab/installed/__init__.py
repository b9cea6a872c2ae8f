"""virtwatch in the lab: its processes under the ServiceAccounts of manifests/, and the API objects that they read."""
