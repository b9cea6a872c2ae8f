from urllib.parse import quote

VIRTWATCH = "virtwatch.io/v1alpha1"
KUBEVIRT = "kubevirt.io/v1"
EVENTS = "events.k8s.io/v1"
LEASES = "coordination.k8s.io/v1"


def resource(
    group_version: str,
    plural: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """Return the path of a collection, an object or its subresource; the core group is "v1"."""
    parts = ["", "api" if "/" not in group_version else "apis", group_version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts += [plural, *(quote(part, safe="") for part in (name, subresource) if part)]
    return "/".join(parts)


def virtwatch(
    plural: str, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
) -> str:
    """Return a path in virtwatch's own group."""
    return resource(VIRTWATCH, plural, namespace=namespace, name=name, subresource=subresource)
