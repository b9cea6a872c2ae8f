"""`virtwatch channel test` asks the running operator, waits for its answer and prints it."""

import subprocess
import sys

from tests.integration.operator.channels import make_channel, make_secret
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.receivers import webhook


def run(place: Place, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "virtwatch_cli", "channel", "test", *arguments]
    command += ["--namespace", place.system, "--kubeconfig", str(place.cluster.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_the_command_prints_the_operators_answer(place: Place):
    with webhook() as hook:
        place.operator()
        make_secret(place, "hook", namespace=place.system, url=f"json://127.0.0.1:{hook.port}/x")
        path = make_channel(place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"})
        eventually(lambda: place.client.get(path).get("status"), what="the channel's status")
        name = f"NotificationChannel {place.system}/hook"
        assert run(place, "hook") == (0, f"{name}: the test message was delivered\n", "")
        assert len(hook.posted) == 1
        hook.answers = [404]
        code, said, _ = run(place, "hook")
        assert (code, said) == (1, f"{name}: the test message failed: the receiver answered 404 Not Found\n")
        code, _, error = run(place, "none")
        assert (code, error) == (1, f"error: NotificationChannel {place.system}/none does not exist\n")


def test_without_an_operator_the_command_says_so(place: Place):
    make_channel(place, "hook", namespace=place.system, type="Webhook", urlSecretRef={"name": "hook"})
    code, _, error = run(place, "hook", "--timeout", "1")
    assert code == 1
    assert "is the operator running?" in error
