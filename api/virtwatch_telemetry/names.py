"""Names of VMs and namespaces as they leave a process: as they are, or hashed with the installation's own key.

The same name is the same word in every process and after every restart, so that series and traces still belong
together; without the key nobody finds a name from its word by trying those that he can think of. UUIDs leave as they
are: that of a VM of an older KubeVirt is made of the VM's name alone, in which names can be tried.
"""

import hashlib
import hmac
from functools import lru_cache

SHORTEST_KEY = 16  # characters
_DIGITS = 16  # of the hash: among a million names two alike are one chance in 10 million
_CACHED = 4096


class HashedNames:
    """Turn names into what may leave."""

    def __init__(self, key: str = "") -> None:
        """Hash with `key`; an empty one leaves all as it is."""
        self.hashed = bool(key)
        secret = key.encode()

        @lru_cache(maxsize=_CACHED)
        def word(name: str) -> str:
            return hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()[:_DIGITS]

        self._word = word

    def of(self, name: str) -> str:
        """Return the word for a name."""
        return self._word(name) if self.hashed and name else name
