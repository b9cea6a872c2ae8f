"""Write kubeconfig files, readable by their owner alone."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path


def write_kubeconfig(path: Path, *, server: str, ca: Path, token: str, namespace: str = "default") -> Path:
    """Write a kubeconfig for a bearer token."""
    # By its path: of a certificate in the file a client makes a temporary one, which stays when it is killed.
    cluster = {"server": server, "certificate-authority": str(ca)}
    return _write(path, cluster=cluster, user={"token": token}, namespace=namespace)


def write_certificate_kubeconfig(path: Path, *, server: str, ca: Path, certificate: Path, key: Path) -> Path:
    """Write a kubeconfig for a client certificate, as a kubelet has it, which needs no other file."""
    cluster = {"server": server, "certificate-authority-data": _encoded(ca)}
    user = {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}
    return _write(path, cluster=cluster, user=user, namespace="default")


def _write(path: Path, *, cluster: Mapping[str, str], user: Mapping[str, str], namespace: str) -> Path:
    # JSON is YAML too, so that no library is needed.
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": dict(cluster)}],
        "users": [{"name": "lab", "user": dict(user)}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": namespace}}],
        "current-context": "lab",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
    return path


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
