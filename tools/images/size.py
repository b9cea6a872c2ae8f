"""How large an image is where it counts: in a registry, and on the way to a node."""

import json
import tarfile
import zlib
from pathlib import Path
from typing import IO

GZIP = 16 + zlib.MAX_WBITS
CHUNK = 1 << 20


def compressed_size(archive: Path) -> int:
    """Return the bytes of an archive's layers as a registry holds them and nodes pull them: in gzip."""
    with tarfile.open(archive) as tar:
        [image] = json.loads(_member(tar, "manifest.json").read())
        return sum(_gzipped(_member(tar, layer)) for layer in image["Layers"])


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    assert file is not None, f"{name} is a folder"
    return file


def _gzipped(file: IO[bytes]) -> int:
    compress, size = zlib.compressobj(wbits=GZIP), 0
    while chunk := file.read(CHUNK):
        size += len(compress.compress(chunk))
    return size + len(compress.flush())
