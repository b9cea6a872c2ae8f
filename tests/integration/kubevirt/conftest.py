import os

# On request, until `python -m lab build` builds KubeVirt: VIRTWATCH_NODES=1 pytest tests/integration/kubevirt
collect_ignore_glob = [] if os.environ.get("VIRTWATCH_NODES") else ["test_*.py"]
