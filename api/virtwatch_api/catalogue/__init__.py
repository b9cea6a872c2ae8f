"""The one table of readings, signals and events; CRD enums, documentation and OTel names derive from it."""
