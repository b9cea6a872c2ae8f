import json

from lab.controlplane.cluster import ControlPlane


def leftovers(control_plane: ControlPlane) -> list[str]:
    """Name every object of any kind whose metadata speaks of virtwatch. Events are history: they go by themselves."""
    kinds = control_plane.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    asked = ",".join(kind for kind in kinds if not kind.startswith("events"))
    found = json.loads(control_plane.kubectl("get", asked, "--all-namespaces", "-o", "json").stdout)["items"]
    return [
        f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        for item in found
        if "virtwatch" in json.dumps(item["metadata"])
    ]
