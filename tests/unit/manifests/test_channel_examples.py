"""The examples of NotificationChannels are valid, and Apprise reads each address, which belongs to its type."""

from pathlib import Path

import apprise
import pytest
import yaml

from virtwatch_api.channel import Channel, ChannelType, parse_channel
from virtwatch_operator.notify.schemes import scheme_problem

EXAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "examples" / "channels").glob("*.yaml"))


def channels(path: Path) -> list[tuple[Channel, str]]:
    documents = [item for item in yaml.safe_load_all(path.read_text()) if item]
    secrets = {item["metadata"]["name"]: item["stringData"] for item in documents if item["kind"] == "Secret"}
    found = []
    for document in documents:
        if document["kind"] == "NotificationChannel":
            channel = parse_channel(document)
            assert isinstance(channel, Channel), channel
            found.append((channel, secrets[channel.url.name][channel.url.key] if channel.url else ""))
    return found


def test_every_type_but_webhook_has_an_example():
    shown = {channel.type for path in EXAMPLES for channel, _ in channels(path)}
    assert shown == set(ChannelType) - {ChannelType.WEBHOOK}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what plugins import
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_examples_address_belongs_to_its_type(path):
    for channel, url in channels(path):
        if url:
            assert scheme_problem(channel.type, url) == ""
            filled = url.replace("ACCOUNT_SID", "AC" + "a" * 32).replace("AUTH_TOKEN", "b" * 32)
            filled = filled.replace("TOKEN_A/TOKEN_B/TOKEN_C", f"T1JJ3T3L2/A1BRTD4JD/{'t' * 24}")
            assert apprise.Apprise.instantiate(filled) is not None
