"""Write image archives (docker-archive), which containerd, docker and podman load: configuration, layers, manifest."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file, folder (neither `source` nor `link`) or symbolic link of a layer; `path` is absolute."""

    path: str
    source: Path | bytes | None = None
    link: str | None = None
    mode: int = 0o755
    owner: int = 0
    capabilities: bytes | None = None
    """The extended attribute security.capability, as capabilities(7) lays it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: its name with tag, its layers, the lowest first, and how containers of it run by default."""

    name: str
    layers: Sequence[Path]
    entrypoint: Sequence[str]
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def write_layer(to: Path, files: Iterable[File]) -> Path:
    """Write a layer, the same bytes for the same files."""
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as tar:
        for file in files:
            _add(tar, file)
    return to


def write_archive(to: Path, *images: Image) -> Path:
    """Write images of uncompressed layers; a layer that several share is written once."""
    digests = {layer: _sha256(layer) for image in images for layer in image.layers}
    manifest = []
    with tarfile.open(to, "w") as tar:
        for layer, digest in digests.items():
            tar.add(layer, f"{digest}.tar")
        for image in images:
            body = _configuration(image, [digests[layer] for layer in image.layers])
            named = f"{hashlib.sha256(body).hexdigest()}.json"
            _add_bytes(tar, named, body)
            layers = [f"{digests[layer]}.tar" for layer in image.layers]
            manifest.append({"Config": named, "RepoTags": [image.name], "Layers": layers})
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
    return to


def _configuration(image: Image, digests: Sequence[str]) -> bytes:
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.environment}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "User": image.user,
            "Env": [f"{key}={value}" for key, value in environment.items()],
        },
        # One entry for each layer, or buildah will not build upon it; with a time, or it finds no step again.
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "python -m lab"} for _ in digests],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    return json.dumps(config).encode()


def _add(tar: tarfile.TarFile, file: File) -> None:
    info = tarfile.TarInfo(file.path.removeprefix("/"))
    info.mode, info.uid, info.gid = file.mode, file.owner, file.owner
    if file.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, file.link
        tar.addfile(info)
    elif file.source is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        content = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
        info.size = len(content)
        if file.capabilities is not None:
            info.pax_headers = {"SCHILY.xattr.security.capability": file.capabilities.decode("ascii")}
        tar.addfile(info, io.BytesIO(content))


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
