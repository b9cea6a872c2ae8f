"""SMS, calls and webhooks over real HTTPS, and the ways that a tenant's channel may not take."""

import json
import subprocess
import sys
from typing import Any

from tests.integration.operator.provider import CANARY
from tools.checkout import CHECKOUT


def played(scenario: str) -> dict[str, Any]:
    command = [
        *("unshare", "--mount", "--net", "--propagation", "private"),
        *(sys.executable, "-m", "tests.integration.operator.provider", scenario),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_sms_and_a_call_reach_the_providers_api():
    found = played("phone")
    assert found["receipts"] == ["delivered", "delivered"]
    (sms_path, sms), (call_path, call) = found["posted"]
    assert sms_path.endswith("/Messages.json")
    assert call_path.endswith("/Calls.json")
    assert sms["To"] == call["To"] == ["+15557654321"]
    assert "[Critical] cpu-starved: VM shop/web-1" in sms["Body"][0]
    assert "cpu-starved" in call["Twiml"][0]


def test_a_message_reaches_slack_teams_and_matrix():
    found = played("chat")
    assert found["receipts"] == ["delivered", "delivered", "delivered"]
    (slack_path, slack), (teams_path, teams), *_ = found["posted"]
    assert slack_path.startswith("/services/T1JJ3T3L2/A1BRTD4JD/")
    assert teams_path.startswith("/workflows/")
    (matrix,) = (body for path, body in found["posted"] if "/send/m.room.message/" in path)
    for body in (slack, teams, matrix):
        assert "[Critical] cpu-starved: VM shop/web-1" in body


def test_a_certificate_that_nobody_vouches_for_is_refused():
    found = played("untrusted")
    assert found["posted"] == 0
    assert all("the receiver's certificate is not valid" in said for said in found["receipts"])


def test_no_receiver_that_refuses_makes_the_secret_show():
    said = played("refused")["said"]
    assert not any(CANARY in text for text in said.values()), said
    sent = {name: text for name, text in said.items() if not name.endswith("looked at")}
    assert len(sent) == 10
    assert not any(text == "delivered" for text in sent.values()), sent
    assert all(len(text) > 10 for text in sent.values()), sent


def test_a_tenants_channel_reaches_the_outside_alone():
    found = played("bounds")
    said = found["said"]
    assert said["allowed"] == said["alertmanager"] == "delivered"
    for way in ("address", "name", "redirect", "alertmanager inside"):
        assert "the operator's own machine" in said[way], way
    assert "which the administrator excludes" in said["denied"]
    assert "redirects are not followed" in said["alertmanager redirect"]
    assert (found["inside"], found["outside"]) == (0, 2)
