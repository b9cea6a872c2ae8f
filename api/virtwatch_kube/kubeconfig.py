"""The API server that a kubeconfig names: read by the official client, which knows every way to log in.

It is imported only where a kubeconfig is used. It is untyped: what comes from it is Any.
"""

from typing import Any

import yaml
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes.client.rest import RESTClientObject

from virtwatch_kube.errors import KubeError
from virtwatch_kube.server import CONNECTIONS, NoCredentials, Server


def by_kubeconfig(path: str) -> Server:
    """Return the API server of a kubeconfig's current context.

    Raises:
        KubeError: it cannot be used.
    """
    configuration: Any = official.Configuration()
    try:
        official_config.load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (official_config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        raise KubeError(
            f"No way to a Kubernetes API server: {error} Run in a Pod with a ServiceAccount, or set KUBECONFIG."
        ) from error
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = CONNECTIONS

    def authorization() -> str:
        try:
            settings = configuration.auth_settings()  # runs the command or asks whom the kubeconfig names for a token
        except official_config.ConfigException as error:
            raise NoCredentials(str(error)) from error
        return str(settings.get("BearerToken", {}).get("value") or "")

    return Server(str(configuration.host), RESTClientObject(configuration).pool_manager, authorization)
