"""By the installed rights a Secret is read once its namespace's owner allows it, and outboxes are the operator's."""

import base64
import shlex
from dataclasses import replace

from tests.integration.manifests.conftest import NAMESPACE, OPERATOR, wait_until
from tests.unit.operator.builders import AT, transition
from tests.unit.operator.test_outbox import ROUTE
from tests.unit.operator.test_pace import CHANNEL
from virtwatch_api.channel import ChannelKey, SecretKey
from virtwatch_kube.paths import resource
from virtwatch_operator.notify.outbox import Outbox, take
from virtwatch_operator.notify.secrets import Secrets
from virtwatch_operator.notify.store import OutboxStore

TENANT = "tenant-of-channels"
KEY = ChannelKey(TENANT, "oncall")


def test_the_command_in_the_status_lets_the_operator_read(installed):
    admin = installed.admin
    admin.create(resource("v1", "namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TENANT}})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mail"},
        "data": {"url": base64.b64encode(b"mailtos://x").decode()},
    }
    admin.create(resource("v1", "secrets", namespace=TENANT), secret)
    secrets = Secrets(client=installed.client(OPERATOR), operator_namespace=NAMESPACE)
    channel = replace(CHANNEL, key=KEY, url=SecretKey("mail", "url"))

    refused = secrets.read(channel)
    assert (refused.text, refused.reason) == ("", "SecretForbidden")
    _, _, command = refused.problem.partition("allow it: ")
    installed.control_plane.kubectl(*shlex.split(command)[1:])
    wait_until(lambda: secrets.read(channel).text == "mailtos://x", "the Secret to be readable")


def test_the_operator_keeps_outboxes_in_its_namespace(installed):
    client = installed.client(OPERATOR)
    written = OutboxStore(client=client, namespace=NAMESPACE)

    def change(outbox: Outbox) -> Outbox:
        return take(outbox, transition(), ROUTE, id_="1", now=AT)

    written.change(KEY, change)
    read = OutboxStore(client=client, namespace=NAMESPACE)
    read.load()
    assert read.get(KEY) == written.get(KEY) != Outbox()
    read.forget(KEY)
    read = OutboxStore(client=client, namespace=NAMESPACE)
    read.load()
    assert read.channels() == []
