from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import virtwatch

KINDS = ("monitorpolicies", "clustermonitorpolicies", "notificationchannels", "thresholdsets", "nodemonitors")


def check_kinds(client: KubeClient) -> None:
    """Return when the API server serves virtwatch's kinds and lets them be read.

    Raises:
        KubeError: it does not; NotFound names all kinds that are missing.
    """
    missing = [kind for kind in KINDS if not _served(client, kind)]
    if missing:
        raise NotFound(f"The API server does not serve {', '.join(missing)}", status=404)


def _served(client: KubeClient, kind: str) -> bool:
    try:
        client.snapshot(virtwatch(kind), at_most=1)
    except NotFound:
        return False
    return True
