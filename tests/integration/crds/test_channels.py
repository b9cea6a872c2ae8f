"""A NotificationChannel holds no secret and says where alerts go in one way only."""

import pytest

from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.errors import Invalid
from virtwatch_kube.paths import virtwatch

SECRET = {"name": "oncall-smtp"}
ADDRESS = "http://alertmanager.monitoring:9093"


def create(client, spec: dict) -> dict:
    channel = {"apiVersion": API_VERSION, "kind": "NotificationChannel", "metadata": {"name": "oncall"}, "spec": spec}
    return client.create(f"{virtwatch('notificationchannels', namespace='default')}?dryRun=All", channel)


@pytest.mark.parametrize("type_", ["Email", "SMS", "Phone", "Chat", "Webhook"])
def test_an_address_comes_from_a_secret(client, type_):
    stored = create(client, {"type": type_, "urlSecretRef": SECRET})

    assert stored["spec"]["urlSecretRef"] == {"name": "oncall-smtp", "key": "url"}


def test_an_alertmanager_may_ask_for_a_token(client):
    stored = create(
        client, {"type": "Alertmanager", "alertmanager": {"url": ADDRESS, "tokenSecretRef": {"name": "token"}}}
    )

    assert stored["spec"]["alertmanager"] == {"url": ADDRESS, "tokenSecretRef": {"name": "token", "key": "token"}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"type": "Pager", "urlSecretRef": SECRET}, 'Unsupported value: "Pager"'),
        ({"type": "Email"}, "a channel of type Email needs urlSecretRef and takes no alertmanager"),
        (
            {"type": "Email", "urlSecretRef": SECRET, "alertmanager": {"url": ADDRESS}},
            "a channel of type Email needs urlSecretRef and takes no alertmanager",
        ),
        (
            {"type": "Alertmanager", "urlSecretRef": SECRET},
            "a channel of type Alertmanager needs alertmanager and takes no urlSecretRef",
        ),
        ({"type": "Alertmanager", "alertmanager": {"url": "alertmanager:9093"}}, "must be an http or https URL"),
        ({"type": "Alertmanager", "alertmanager": {"url": "ftp://alertmanager"}}, "must be an http or https URL"),
        (
            {"type": "Alertmanager", "alertmanager": {"url": "http://ann:secret@alertmanager"}},
            "must not hold credentials; put a bearer token into a Secret",
        ),
    ],
)
def test_a_wrong_channel_is_refused_with_a_sentence(client, spec, sentence):
    with pytest.raises(Invalid) as refusal:
        create(client, spec)

    assert sentence in str(refusal.value)
