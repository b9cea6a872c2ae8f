import subprocess
import sys

import pytest

from virtwatch_kube.errors import KubeError
from virtwatch_kube.service_account import by_service_account

ENV = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def mounted(tmp_path):
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("a certificate")
    return tmp_path


def test_an_agent_in_a_pod_needs_no_official_client():
    said = "import sys, virtwatch_agent.__main__; print('kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("host", "address"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd::1", "https://[fd::1]:6443")]
)
def test_a_pod_finds_the_api_server_by_its_environment(mounted, host, address):
    assert by_service_account({**ENV, "KUBERNETES_SERVICE_HOST": host}, mounted=mounted).host == address


def test_a_rotated_token_is_read_within_a_minute(mounted):
    now = [0.0]
    server = by_service_account(ENV, mounted=mounted, clock=lambda: now[0])
    (mounted / "token").write_text("second")
    now[0] = 59.0
    assert server.authorization() == "Bearer first"
    now[0] = 60.0
    assert server.authorization() == "Bearer second"


@pytest.mark.parametrize("file", ["token", "ca.crt"])
@pytest.mark.parametrize("content", [None, "\n"])
def test_a_pod_without_a_service_account_says_what_to_do(mounted, file, content):
    if content is None:
        (mounted / file).unlink()
    else:
        (mounted / file).write_text(content)
    with pytest.raises(KubeError, match=f"{file}.*Run in a Pod with a ServiceAccount"):
        by_service_account(ENV, mounted=mounted)
