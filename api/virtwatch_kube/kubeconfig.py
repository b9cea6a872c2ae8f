"""The API server that a kubeconfig names: read by the official client, which knows every way to log in.

It is imported only where a kubeconfig is used. It is untyped: what comes from it is Any.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes.client.rest import RESTClientObject

from virtwatch_kube.errors import KubeError
from virtwatch_kube.server import CONNECTIONS, NoCredentials, Server

_ADVICE = "Run in a Pod with a ServiceAccount, or set KUBECONFIG."


def by_kubeconfig(path: str) -> Server:
    """Return the API server of a kubeconfig's current context.

    Raises:
        KubeError: it cannot be used.
    """
    configuration: Any = official.Configuration()
    try:
        official_config.load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (official_config.ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise KubeError(f"No way to a Kubernetes API server: {_why(path, error)}. {_ADVICE}") from error
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = CONNECTIONS

    def authorization() -> str:
        try:
            settings = configuration.auth_settings()  # runs the command or asks whom the kubeconfig names for a token
        except official_config.ConfigException as error:
            raise NoCredentials(str(error)) from error
        return str(settings.get("BearerToken", {}).get("value") or "")

    return Server(str(configuration.host), RESTClientObject(configuration).pool_manager, authorization)


def _why(path: str, error: Exception) -> str:
    """Say why the files of a kubeconfig's path cannot be used; the official client does not name one that is absent."""
    files = [Path(file).expanduser() for file in path.split(os.pathsep) if file]
    if not any(file.exists() for file in files):
        return f"kubeconfig {path} does not exist"
    if isinstance(error, TypeError):
        return f"{path} is no kubeconfig"  # but a text or a list
    said = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return f"kubeconfig {path} cannot be used: {said.rstrip('.')}"
