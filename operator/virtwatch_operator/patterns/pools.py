"""Storage pools that several nodes share, as groups of events: what they are called, of how many a node may speak."""

import logging
import re
from collections.abc import Collection, Mapping

from virtwatch_api.nodemonitor import Pool

logger = logging.getLogger(__name__)

_PREFIX = "pool/"  # begins a group that is a storage pool, by its id; another one is a namespace
_OF_KUBERNETES = "storageclass/"  # begins the id of a pool that is a StorageClass
_MOST_OF_A_NODE = 64  # what one node makes up must not cost others their room
_ID = re.compile(rf"(?:{_OF_KUBERNETES})?[A-Za-z0-9.-]{{1,128}}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_pool(group: str) -> bool:
    """Return whether a group is a storage pool."""
    return group.startswith(_PREFIX)


def id_of(group: str) -> str:
    """Return the id of the pool that a group is."""
    return group.removeprefix(_PREFIX)


def is_of_kubernetes(id_: str) -> bool:
    """Return whether a pool is one that only Kubernetes knows: no agent judges it by itself."""
    return id_.startswith(_OF_KUBERNETES)


class Pools:
    """Hold what pools are called, in the words of no single node: the first one to speak names a pool for all."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._known: dict[str, set[str]] = {}  # ids by the node that spoke of them
        self._cut: set[str] = set()  # nodes of which that was logged

    @property
    def names(self) -> Mapping[str, str]:
        """Return them by id, to be kept."""
        return dict(self._names)

    def restore(self, names: Mapping[str, str]) -> None:
        """Take them back."""
        self._names = {id_: _shown(Pool(id_, name)) for id_, name in names.items()}

    def group(self, pool: Pool, *, node: str) -> str:
        """Return the group of a pool of which a node speaks; empty where it may not."""
        if not _ID.fullmatch(pool.id):
            return ""
        known = self._known.setdefault(node, set())
        if pool.id not in known and len(known) >= _MOST_OF_A_NODE:
            self._log_cut(node)
            return ""
        known.add(pool.id)
        self._names.setdefault(pool.id, _shown(pool))
        return f"{_PREFIX}{pool.id}"

    def name(self, id_: str) -> str:
        """Return what a pool is called; its id where nobody said."""
        return self._names.get(id_, id_)

    def keep(self, groups: Collection[str]) -> None:
        """Forget pools that are no group any more: nodes have room again for others."""
        ids = {id_of(group) for group in groups if is_pool(group)}
        self._names = {id_: name for id_, name in self._names.items() if id_ in ids}
        self._known = {node: kept for node, known in self._known.items() if (kept := known & ids)}

    def _log_cut(self, node: str) -> None:
        if node not in self._cut:
            self._cut.add(node)
            logger.warning(
                "node %s reports events of more than %d storage pools at once: those of further pools are not counted "
                "by pool; let patterns with `by: StoragePool` select fewer VMs",
                node,
                _MOST_OF_A_NODE,
            )


def _shown(pool: Pool) -> str:
    if is_of_kubernetes(pool.id):
        return pool.id.removeprefix(_OF_KUBERNETES)
    return pool.name if _NAME.fullmatch(pool.name) else pool.id
