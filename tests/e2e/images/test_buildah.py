"""What calling buildah does to the machine beside the lab's cache, and what a killed build leaves in it."""

import secrets
import subprocess
from pathlib import Path

import pytest

from tools.cache import cache_root, locked
from tools.images.base import BASE
from tools.images.product import agent_image, buildah_command, remove_abandoned
from tools.machine import ensure_packages

UNDER_TEST = "under-test-scratch"


@pytest.fixture
def buildah(tmp_path: Path) -> list[str]:
    ensure_packages(["buildah"])
    return buildah_command(tmp_path)


def call(buildah: list[str], *arguments: str) -> str:
    done = subprocess.run([*buildah, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_its_networks_have_a_folder_that_is_not_the_machines(buildah: list[str], tmp_path: Path) -> None:
    call(buildah, "from", "--name", UNDER_TEST, "scratch")
    call(buildah, "rm", UNDER_TEST)

    assert (tmp_path / "cni").is_dir()


def test_a_killed_builds_container_goes_and_one_that_is_looked_into_stays(buildah: list[str], tmp_path: Path) -> None:
    with locked(cache_root() / ".buildah.lock", what="building an image"):
        left = call(buildah, "from", "scratch")
        call(buildah, "from", "--name", UNDER_TEST, "scratch")

        remove_abandoned(buildah, tmp_path / "log")

    stays = call(buildah, "containers", "--format", "{{.ContainerName}}").split()
    call(buildah, "rm", UNDER_TEST)
    assert left not in stays
    assert UNDER_TEST in stays


def test_a_step_that_was_built_is_found_again(buildah: list[str], tmp_path: Path) -> None:
    agent_image()  # brings the base
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN true {secrets.token_hex(4)}\nRUN true\n")
    build = ("bud", "--layers", "--isolation=chroot", "--network=host", "--format=docker", str(tmp_path))

    with locked(cache_root() / ".buildah.lock", what="building an image"):
        call(buildah, *build)
        again = call(buildah, *build)

    assert again.count("Using cache") == 2
