"""Build virtwatch's own images from their Dockerfiles with buildah, without a registry and without a daemon."""

import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.cache import build_log, cache_root, cached, locked
from tools.checkout import CHECKOUT
from tools.commands import run_logged
from tools.errors import ToolError
from tools.images.base import BASE, base_image
from tools.machine import ensure_packages
from tools.progress import note, step
from virtwatch_api import __version__

# A person goes to and fro between few checkouts, and both images are 0.7 GB.
KEPT = 3
# What .dockerignore lets in.
SOURCES = ("LICENSE", "README.md", "agent", "api", "cli", "operator", "pyproject.toml", "requirements")
TAG = f"lab.local/virtwatch-{{part}}:{__version__}"
AGENT, OPERATOR = TAG.format(part="agent"), TAG.format(part="operator")


def agent_image() -> Path:
    """Return the archive of the agent's image, built from the checkout as it is now."""
    return _image("agent")


def operator_image() -> Path:
    """Return the archive of the operator's image, built from the checkout as it is now."""
    return _image("operator")


def _image(part: str) -> Path:
    base = base_image()
    built = cached(f"image-{part}", list(_inputs(base)), lambda folder: _build(part, base, folder), keep=KEPT)
    return built / "image.tar"


def _inputs(base: Path) -> Iterator[bytes | Path]:
    yield base.parent.name.encode()
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_file():
            yield source
            continue
        for file in sorted(source.rglob("*")):
            if file.is_file() and file.parent.name != "__pycache__":
                yield str(file.relative_to(CHECKOUT)).encode()
                yield file.read_bytes()


def _build(part: str, base: Path, folder: Path) -> None:
    ensure_packages(["buildah"])
    tag = TAG.format(part=part)
    log = build_log(f"image-{part}")
    with (
        step(
            f"Building the image of virtwatch's {part}",
            why="1 to 4 minutes the first time, half of one when only code changed",
        ),
        tempfile.TemporaryDirectory(prefix="virtwatch-") as scratch,
        # Tags are the store's: another checkout's build would move them between the build and the push.
        locked(cache_root() / ".buildah.lock", what="building an image"),
    ):
        buildah = buildah_command(Path(scratch))
        remove_abandoned(buildah, log)
        _ensure_base(buildah, base, log)
        argv = [
            *(*buildah, "bud", "--layers", "--isolation=chroot", "--network=host", "--format=docker"),
            *("--build-arg", f"BASE={BASE}", *_machine_settings(Path(scratch)), "--file", f"{part}/Dockerfile"),
        ]
        # The first stage by a name of its own, by which its steps are kept for the next build.
        run_logged([*argv, "--target", "build", "--tag", f"{tag}-build", "."], log=log, cwd=CHECKOUT)
        run_logged([*argv, "--tag", tag, "."], log=log, cwd=CHECKOUT)
        argv = [*buildah, "push", "--quiet", tag, f"docker-archive:{folder / 'image.tar'}:{tag}"]
        run_logged(argv, log=build_log(f"image-{part}-push"), cwd=CHECKOUT)
        _prune(buildah, build_log(f"image-{part}-prune"))


def buildah_command(scratch: Path) -> list[str]:
    """Return how to call buildah: its steps stay in the lab's cache, its mounts end with a namespace of their own."""
    store = cache_root() / "buildah"
    # It makes the folder of its networks even where it uses none, and else that would be /etc/cni/net.d.
    config = scratch / "containers.conf"
    config.write_text(f'[network]\nnetwork_config_dir = "{scratch / "cni"}"\n')
    private = ["unshare", "--mount", "--propagation=private", "env", f"CONTAINERS_CONF={config}"]
    return [*private, "buildah", "--root", str(store), "--runroot", str(scratch / "run"), "--storage-driver=overlay"]


def remove_abandoned(buildah: list[str], log: Path) -> None:
    """Remove the containers of builds that were killed: they hold on to images, which then cannot be pruned.

    Call it under the lock: every container with a name that a build gives is one of those.
    """
    listed = subprocess.run(
        [*buildah, "containers", "--format", "{{.ContainerName}}"], capture_output=True, text=True, check=True
    )
    abandoned = [name for name in listed.stdout.split() if "working-container" in name]
    if abandoned:
        run_logged([*buildah, "rm", *abandoned], log=log, cwd=CHECKOUT)


def _prune(buildah: list[str], log: Path) -> None:
    """Remove what earlier builds left: 0.8 GB for each change."""
    try:
        run_logged([*buildah, "rmi", "--prune"], log=log, cwd=CHECKOUT)
    except ToolError as error:
        # Somebody looks into an older image. The new one is built all the same.
        note(f"older steps of builds stay until the next build: {error}")


def _ensure_base(buildah: list[str], base: Path, log: Path) -> None:
    # It goes by name: an older base of that name would serve as well to the build, and wrongly.
    run_logged([*buildah, "pull", "--quiet", f"docker-archive:{base}"], log=log, cwd=CHECKOUT)


def _machine_settings(scratch: Path) -> Iterator[str]:
    """Let pip inside trust and use what it does outside: certificate authorities and pip's own settings."""
    authorities = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if authorities and Path(authorities).exists():
        yield from ("--volume", f"{authorities}:/etc/ssl/certs/ca-certificates.crt:ro")
    settings = {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    for name in ("index-url", "extra-index-url", "timeout", "trusted-host"):
        value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            settings[name] = value
    config = scratch / "pip.conf"
    config.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    yield from ("--volume", f"{config}:/etc/pip.conf:ro")
