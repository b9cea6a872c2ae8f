"""Whichever way it is installed, the API server takes all of it without a complaint; all of it comes, and goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.rundir import RunDir, clean
from tests.integration.leftovers import leftovers
from tests.integration.manifests.conftest import wait_until
from tests.integration.manifests.security_page import documented, violations
from tools.checkout import CHECKOUT
from tools.dist import dist
from tools.errors import ToolError

OVERLAYS = CHECKOUT / "manifests" / "overlays"
WAYS = {
    "base": ("-k", str(CHECKOUT / "manifests" / "base")),
    "lab": ("-k", str(OVERLAYS / "lab")),
    "libvirt": ("-k", str(OVERLAYS / "libvirt")),
}
# The server's side first: where the namespace was applied the other way before, kubectl warns of that, too.
ALL = ("one file, server side", "one file", *WAYS)
NAMESPACE = ("-f", str(CHECKOUT / "manifests" / "base" / "namespace.yaml"))
POLICIES = ("-f", str(CHECKOUT / "manifests" / "examples"))
DEADLINE = "--timeout=120s"


@pytest.fixture(scope="module")
def empty() -> Iterator[ControlPlane]:
    """Run a control plane that has never seen virtwatch."""
    run = RunDir.create("ways to install")
    control_plane = ControlPlane(run)
    try:
        control_plane.start()
        yield control_plane
    finally:
        control_plane.stop()
        clean(run)


def arguments(way: str, folder: Path) -> tuple[str, ...]:
    """Give kubectl's arguments; the last two say what is applied."""
    if way in WAYS:
        return WAYS[way]
    file = folder / "virtwatch.yaml"
    dist(file=file)
    # kubectl apply writes each object into an annotation of its own, which holds 256 KiB, but not with --server-side.
    return *(("--server-side",) if "server" in way else ()), "-f", str(file)


@pytest.mark.parametrize("way", ALL)
def test_asked_first_the_server_refuses_nothing_and_warns_as_documented(empty, way, tmp_path):
    how = arguments(way, tmp_path)
    empty.kubectl("apply", *how[:-2], *NAMESPACE)  # a dry run makes none for the objects that follow
    tried = empty.kubectl("apply", "--dry-run=server", *how)
    [warning] = tried.stderr.splitlines()

    assert all(line.endswith(" (server dry run)") for line in tried.stdout.splitlines())
    heading = "What it takes without KubeVirt" if way == "libvirt" else "What the agent takes"
    assert violations(warning) == documented(heading)


@pytest.mark.parametrize("way", ["base", "one file, server side"])
def test_it_comes_whole_and_goes_whole_with_its_policies(empty, way, tmp_path):
    """The others are these with other values, or the same file sent otherwise: all of them are tried above."""
    how = arguments(way, tmp_path)
    applied = empty.kubectl("apply", *how)
    empty.wait_established("crd", "--all")
    empty.kubectl("create", "namespace", "shop", check=False)
    # A kind is established a moment before discovery tells kubectl of it.
    tried = ("apply", "--dry-run=server", *POLICIES)
    wait_until(lambda: empty.kubectl(*tried, check=False).returncode == 0, "the policies' kinds to be served")
    policies = empty.kubectl("apply", *POLICIES)

    assert policies.stderr == ""
    come = [line for line in applied.stdout.splitlines() if not line.startswith("namespace/")]
    assert all(line.endswith((" created", " serverside-applied")) for line in come)
    assert len(applied.stderr.splitlines()) == 1  # what the agent takes beyond `restricted`: test_pod_security.py
    assert leftovers(empty)

    # Objects may go with their namespace before kubectl comes to them.
    empty.kubectl("delete", DEADLINE, "--ignore-not-found", *how[-2:])

    wait_until(lambda: gone(empty), "all of it to be gone")


def gone(control_plane: ControlPlane) -> bool:
    """Tell whether nothing is left: a kind that was deleted is listed, and so asked for, for a moment still."""
    try:
        return leftovers(control_plane) == []
    except ToolError:
        return False


def test_the_one_file_names_the_registry_that_was_asked_for(empty, tmp_path):
    file = tmp_path / "virtwatch.yaml"
    dist(registry="registry.example.org/team/", file=file)

    said = empty.kubectl("apply", "--dry-run=client", "-f", str(file), "-o", "yaml").stdout
    images = {line.split()[-1] for line in said.splitlines() if line.strip().startswith(("image:", "- image:"))}

    assert {image.rpartition(":")[0] for image in images} == {
        "registry.example.org/team/virtwatch-agent",
        "registry.example.org/team/virtwatch-operator",
    }
