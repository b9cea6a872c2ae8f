"""Whichever way it is installed, all of it comes without a complaint, and all of it goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.rundir import RunDir, clean
from tests.integration.leftovers import leftovers
from tests.integration.manifests.security_page import documented, violations
from tools.checkout import CHECKOUT
from tools.dist import dist

OVERLAYS = CHECKOUT / "manifests" / "overlays"
WAYS = {
    "base": ("-k", str(CHECKOUT / "manifests" / "base")),
    "lab": ("-k", str(OVERLAYS / "lab")),
    "libvirt": ("-k", str(OVERLAYS / "libvirt")),
}
NAMESPACE = ("-f", str(CHECKOUT / "manifests" / "base" / "namespace.yaml"))
POLICIES = ("-f", str(CHECKOUT / "manifests" / "examples"))
DEADLINE = "--timeout=60s"


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


@pytest.fixture(params=[*WAYS, "one file", "one file, server side"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Give kubectl's arguments; the last two say what is applied."""
    if request.param in WAYS:
        return WAYS[request.param]
    file = tmp_path / "virtwatch.yaml"
    dist(file=file)
    # kubectl apply writes each object into an annotation of its own, which holds 256 KiB, but not with --server-side.
    return *(("--server-side",) if "server" in request.param else ()), "-f", str(file)


def test_it_is_tried_comes_whole_and_goes_whole_with_its_policies(empty, way):
    """Asked first the server refuses nothing and warns of what is documented alone; then all of it comes, and goes."""
    empty.kubectl("apply", *way[:-2], *NAMESPACE)  # a dry run makes none for the objects that follow
    tried = empty.kubectl("apply", "--dry-run=server", *way)
    [warning] = tried.stderr.splitlines()

    assert all(line.endswith(" (server dry run)") for line in tried.stdout.splitlines())
    heading = "What it takes without KubeVirt" if way == WAYS["libvirt"] else "What the agent takes"
    assert violations(warning) == documented(heading)

    applied = empty.kubectl("apply", *way)
    empty.kubectl("wait", "--for=condition=Established", DEADLINE, "crd", "--all")
    empty.kubectl("create", "namespace", "shop", check=False)
    policies = empty.kubectl("apply", *POLICIES)

    assert policies.stderr == ""
    come = [line for line in applied.stdout.splitlines() if not line.startswith("namespace/")]
    assert all(line.endswith((" created", " serverside-applied")) for line in come)
    assert len(applied.stderr.splitlines()) == 1  # what the agent takes beyond `restricted`: test_pod_security.py
    assert leftovers(empty)

    empty.kubectl("delete", DEADLINE, *way[-2:])

    assert leftovers(empty) == []


def test_the_one_file_names_the_registry_that_was_asked_for(empty, tmp_path):
    file = tmp_path / "virtwatch.yaml"
    dist(registry="registry.example.org/team/", file=file)

    said = empty.kubectl("apply", "--dry-run=client", "-f", str(file), "-o", "yaml").stdout
    images = {line.split()[-1] for line in said.splitlines() if line.strip().startswith(("image:", "- image:"))}

    assert {image.rpartition(":")[0] for image in images} == {
        "registry.example.org/team/virtwatch-agent",
        "registry.example.org/team/virtwatch-operator",
    }
