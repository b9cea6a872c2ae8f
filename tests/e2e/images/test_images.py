"""virtwatch's images from inside, and as a registry would hold them; built from their Dockerfiles."""

import json
import os
import re
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from lab.node.small import busybox_image
from tools.checkout import CHECKOUT
from tools.images.product import agent_image, buildah_command, operator_image
from tools.images.size import compressed_size
from virtwatch_api import __version__

# The first test builds: from Debian's packages and pip's, where the cache holds nothing.
pytestmark = pytest.mark.timeout(900)
LIMIT_BYTES = 120_000_000
ARCHIVES = {"agent": agent_image, "operator": operator_image}
COMPILERS = re.compile(r"(.*-)?(as|c\+\+|cc|cc1|clang|cpp|g\+\+|gcc|go|ld|make|rustc|tcc)(-?[\d.]+)?")
INSTALLERS = re.compile(r"ensurepip|pip|pip3.*|pip-.*")


class Built:
    """One image, with a container of it in which commands run."""

    def __init__(self, part: str, archive: Path, scratch: Path) -> None:
        self.part, self.archive = part, archive
        self._buildah = buildah_command(scratch)
        self._container = self._call(
            "from", "--name", f"under-test-{secrets.token_hex(4)}", f"docker-archive:{archive}"
        ).stdout.split()[-1]

    def run(self, *argv: str, user: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command inside; without `user` as whom the image says."""
        chosen = ("--user", user) if user else ()
        return self._call("run", "--isolation=chroot", *chosen, self._container, "--", *argv, check=False)

    def configuration(self) -> dict:
        with tarfile.open(self.archive) as tar:
            [image] = json.load(tar.extractfile("manifest.json"))
            return json.load(tar.extractfile(image["Config"]))["config"]

    def files(self) -> list[PurePosixPath]:
        found = self.run("find", "/", "-xdev", "!", "-type", "d", user="0").stdout.splitlines()
        return [PurePosixPath(line) for line in found]

    def remove(self) -> None:
        self._call("rm", self._container)

    def _call(self, *argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*self._buildah, *argv], capture_output=True, text=True, check=check)


@pytest.fixture(scope="module", params=ARCHIVES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    made = Built(request.param, ARCHIVES[request.param](), tmp_path_factory.mktemp("buildah"))
    yield made
    made.remove()


def test_a_node_pulls_less_than_120_megabytes(built):
    assert compressed_size(built.archive) < LIMIT_BYTES


def test_nothing_in_it_compiles_or_installs(built):
    files = built.files()

    assert len(files) > 1000
    assert [path for path in files if path.parent.name in ("bin", "sbin") and COMPILERS.fullmatch(path.name)] == []
    assert [path for path in files if any(INSTALLERS.fullmatch(part) for part in path.parts)] == []


def test_of_libvirt_the_agents_holds_the_client_library_alone(built):
    packages = built.run("dpkg-query", "--show", "--showformat=${Package}\n").stdout.split()

    assert "libc6" in packages
    assert [name for name in packages if "virt" in name or "qemu" in name] == (
        ["libvirt0"] if built.part == "agent" else []
    )


def test_it_says_what_it_is(built):
    labels = built.configuration()["Labels"]

    assert labels["org.opencontainers.image.title"] == f"virtwatch-{built.part}"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_operators_user_is_not_root(built):
    user = built.run("id", "-u").stdout.strip()

    assert user == {"agent": "0", "operator": "65532"}[built.part]


def test_its_program_starts_and_says_what_it_lacks(built):
    started = built.run(*built.configuration()["Entrypoint"])

    assert started.returncode == 2
    assert f"The {built.part} cannot start" in started.stderr
    assert "Traceback" not in started.stderr


def test_every_dependency_can_be_imported_from_a_file_system_that_nobody_writes(built):
    program = f"import virtwatch_{built.part}.__main__, sys; print(len(sys.modules))"
    imported = built.run("/opt/virtwatch/bin/python", "-W", "error", "-c", program)
    compiled = [path for path in built.files() if path.suffix == ".pyc" and path.is_relative_to("/opt/virtwatch")]

    assert imported.returncode == 0, imported.stderr
    assert compiled  # or each start would compile anew


def engines(folder: Path, **scripts: str) -> dict[str, str]:
    """Return an environment in which docker and podman are these scripts, and the other one fails."""
    for name in ("docker", "podman"):
        stub = folder / name
        stub.write_text(f"#!/bin/sh\n{scripts.get(name, 'exit 1')}\n")
        stub.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def make_images(environment: dict[str, str], *options: str) -> list[str]:
    argv = [sys.executable, "-m", "tools", "images", *options]
    return subprocess.run(
        argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_make_images_says_what_it_built_where_no_engine_answers(tmp_path):
    said = make_images(engines(tmp_path))

    assert [line.partition(" MB compressed")[0].rpartition(": ")[0] for line in said] == [
        f"lab.local/virtwatch-{part}:{__version__}" for part in ARCHIVES
    ]
    for part, line in zip(ARCHIVES, said, strict=True):
        [archive] = re.findall(r"skopeo copy docker-archive:(\S+/image\.tar) ", line)
        assert Path(archive).is_file()
        assert line.endswith(f" docker://REGISTRY/virtwatch-{part}:{__version__}")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_make_images_builds_with_an_engine_that_answers_under_the_names_that_the_one_file_has(tmp_path, engine):
    # A small one in their place: what is built is the others' matter.
    calls, built = tmp_path / "calls", busybox_image()
    script = f'echo "$*" >> {calls}\n[ "$1" != save ] || cp {built} "$3"'

    said = make_images(engines(tmp_path, **{engine: script}), "--registry=registry.example.org/team")

    names = [f"registry.example.org/team/virtwatch-{part}:{__version__}" for part in ARCHIVES]
    assert [line for line in calls.read_text().splitlines() if line.startswith("build ")] == [
        f"build --file {part}/Dockerfile --tag {name} ." for part, name in zip(ARCHIVES, names, strict=True)
    ]
    assert [line.rpartition("To your registry: ")[2] for line in said] == [f"{engine} push {name}" for name in names]
    assert [re.findall(r": (\d+) MB compressed", line) for line in said] == [["1"], ["1"]]
