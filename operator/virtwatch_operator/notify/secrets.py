"""Reads the Secret of a channel, by a right that the channel's namespace gives and nobody else."""

import base64
import binascii
from dataclasses import dataclass, field

from virtwatch_api.channel import Channel, SecretKey
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, NotFound
from virtwatch_kube.paths import resource

CLUSTER_ROLE = "virtwatch-channel-secrets"
SERVICE_ACCOUNT = "virtwatch-operator"


@dataclass(frozen=True, slots=True)
class Secret:
    """Hold what a channel's Secret holds, or why it cannot be used: `reason` is one CamelCase word."""

    text: str = field(default="", repr=False)
    reason: str = ""
    problem: str = ""


class Secrets:
    """Read channels' Secrets; nothing is kept."""

    def __init__(self, *, client: KubeClient, operator_namespace: str) -> None:
        self._client = client
        self._operator_namespace = operator_namespace

    def read(self, channel: Channel) -> Secret:
        """Read the entry that a channel names; a channel without a Secret has an empty one.

        Raises:
            KubeError: it could not be read now.
        """
        named = channel.url or (channel.alertmanager.token if channel.alertmanager is not None else None)
        if named is None:
            return Secret()
        namespace = channel.key.namespace
        try:
            document = self._client.get(resource("v1", "secrets", namespace=namespace, name=named.name))
        except NotFound:
            return _missing(namespace, named, "does not exist; create it")
        except Forbidden:
            command = self._command(namespace)
            problem = f"The operator may not read Secret {namespace}/{named.name}; allow it: {command}"
            return Secret(reason="SecretForbidden", problem=problem)
        encoded = (document.get("data") or {}).get(named.key)
        if encoded is None:
            return _missing(namespace, named, f'has no entry "{named.key}"; add it')
        try:
            return Secret(base64.b64decode(encoded).decode())
        except (binascii.Error, UnicodeDecodeError):
            return _missing(namespace, named, f'holds an entry "{named.key}" that is no text in UTF-8')

    def _command(self, namespace: str) -> str:
        return (
            f"kubectl create rolebinding virtwatch-channels --namespace={namespace} --clusterrole={CLUSTER_ROLE} "
            f"--serviceaccount={self._operator_namespace}:{SERVICE_ACCOUNT}"
        )


def _missing(namespace: str, named: SecretKey, what: str) -> Secret:
    return Secret(reason="SecretInvalid", problem=f"Secret {namespace}/{named.name} {what}.")
