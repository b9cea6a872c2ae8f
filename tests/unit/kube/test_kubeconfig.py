from pathlib import Path

import pytest

from virtwatch_kube.errors import KubeError
from virtwatch_kube.kubeconfig import by_kubeconfig


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("", "cannot be used: "),
        ("a text", "is no kubeconfig"),
        ("{", "cannot be used: while parsing"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeError) as caught:
        by_kubeconfig(str(path))
    message = str(caught.value)
    assert f"{path} {says}" in message
    assert message.endswith(". Run in a Pod with a ServiceAccount, or set KUBECONFIG.")
