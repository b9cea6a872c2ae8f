"""Keep what is slow to build, under a key of its inputs, outside the checkout."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.progress import note

KEY_DIGITS = 16


def cache_root() -> Path:
    """Name the cache's folder: `$VIRTWATCH_CACHE`, else `~/.cache/virtwatch`."""
    chosen = os.environ.get("VIRTWATCH_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "virtwatch"


def build_log(name: str) -> Path:
    """Name the log of a build; it outlives a failed build so that a person can read it."""
    log = cache_root() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def entry(name: str, inputs: Iterable[bytes | Path]) -> Path:
    """Name the folder for these inputs, whether it was built or not. A `Path` counts by its content."""
    return cache_root() / f"{name}-{_key(inputs)}"


def cached(
    name: str, inputs: Iterable[bytes | Path], build: Callable[[Path], None], *, keep: int | None = None
) -> Path:
    """Return the folder that `build` filled for these inputs, building it at most once on this machine.

    `build` gets an empty folder and its files must not name that folder: it is renamed when complete. If it raises,
    nothing is kept. Two callers at once build once; the second waits. With `keep`, so many of one name stay, those
    used last: for what nobody uses where it lies.
    """
    folder = entry(name, inputs)
    if not folder.exists():
        with locked(folder.with_name(f".{folder.name}.lock"), what=f"building {name}"):
            if not folder.exists():
                _build(folder, build)
    os.utime(folder)
    if keep is not None:
        _drop_older(name, keep=keep)
    return folder


@contextmanager
def locked(lock: Path, *, what: str) -> Iterator[None]:
    """Hold a lock of the machine's, which ends with this process; say so when another's has to be waited for."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another process is {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    # The lock is held: whatever half-built sibling is there belongs to a builder that was killed.
    for abandoned in folder.parent.glob(f".{folder.name}.*.building"):
        shutil.rmtree(abandoned)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".building", dir=folder.parent))
    try:
        unfinished.chmod(0o755)
        build(unfinished)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _drop_older(name: str, *, keep: int) -> None:
    # Two who drop at once would each find what the other has moved already.
    with locked(cache_root() / f".{name}.drop.lock", what=f"dropping old builds of {name}"):
        built = cache_root().glob(f"{name}-{'[0-9a-f]' * KEY_DIGITS}")
        for folder in sorted(built, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
            # Out of the way first, so that nobody takes half of it for the whole.
            dropped = folder.with_name(f".{folder.name}.dropped.building")
            folder.rename(dropped)
            shutil.rmtree(dropped, ignore_errors=True)


def _key(inputs: Iterable[bytes | Path]) -> str:
    digest = hashlib.sha256()
    for item in inputs:
        for part in _parts(item):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()[:KEY_DIGITS]


def _parts(item: bytes | Path) -> Iterator[bytes]:
    if isinstance(item, bytes):
        yield item
    elif item.is_dir():
        for path in sorted(item.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(item)).encode()
                yield path.read_bytes()
    else:
        yield item.name.encode()
        yield item.read_bytes()
