"""Huge pages by size, and what the kernel saves by keeping equal pages once (KSM)."""

import os
from pathlib import Path

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.node.source import NodeSource
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue import absences

_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB_OF_GIB = 2**20


class PageReader(NodeSource):
    """Read pages and bytes."""

    def __init__(self, sys: Path) -> None:
        """`sys` is the host's /sys."""
        self._memory = sys / "kernel" / "mm"

    def __call__(self) -> Found:
        """Return the readings; sizes of which no page is reserved are left out."""
        values: dict[Series, float] = {}
        unavailable: dict[str, str] = {}
        for folder in sorted((self._memory / "hugepages").glob("hugepages-*kB")):
            total = _number(folder / "nr_hugepages")
            if total:
                values["node.hugepages.total", _size(folder.name)] = total
                values["node.hugepages.free", _size(folder.name)] = _number(folder / "free_hugepages")
        if not values:
            keys = ("node.hugepages.total", "node.hugepages.free")
            unavailable |= dict.fromkeys(keys, absences.NO_HUGE_PAGES)
        ksm = self._memory / "ksm"
        if ksm.is_dir():
            values["node.ksm.shared", ""] = _number(ksm / "pages_shared") * _PAGE
            values["node.ksm.saved", ""] = _number(ksm / "pages_sharing") * _PAGE
        else:
            unavailable |= dict.fromkeys(("node.ksm.shared", "node.ksm.saved"), absences.NO_KSM)
        return Found(values, unavailable)


def _number(path: Path) -> float:
    return float(path.read_text())


def _size(folder: str) -> str:
    kib = int(folder.removeprefix("hugepages-").removesuffix("kB"))
    return f"{kib // _KIB_OF_GIB}Gi" if kib >= _KIB_OF_GIB else f"{kib // 1024}Mi" if kib >= 1024 else f"{kib}Ki"
