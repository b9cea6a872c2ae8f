"""The only importer of kopf: it watches what users write, and hands on which object changed, nothing else."""
