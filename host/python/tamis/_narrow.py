"""Which filters are worth giving to a store.

Some stores take far longer with a filter that nearly everything passes than with none. So a filter is given to the store only once a search without it
has found too little.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from tamis._native import Rewrite

MOST = 1024
"""So many filters are remembered, the last ones used."""
SEARCHES = 100
"""After so many searches a filter is forgotten, as what is stored, and asked, may have changed."""
SECONDS = 300.0
"""After so long it is forgotten as well."""


class NarrowFilters:
    """The filters of the policy's that let too little through for a search without them. For use by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def has(self, key: bytes) -> bool:
        """Whether a filter is known to be narrow, which counts as a search with it."""
        with self._lock:
            left, until = self._known.pop(key, (0, 0.0))
            if left < 1 or self._clock() >= until:
                return False
            self._known[key] = (left - 1, until)
            return True

    def add(self, key: bytes) -> None:
        """Remembers that a filter is narrow."""
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = (SEARCHES, self._clock() + SECONDS)
            while len(self._known) > MOST:
                self._known.popitem(last=False)


def key_of(rewrite: Rewrite) -> bytes:
    """What the filters of rewrites are told apart by."""
    return hashlib.blake2b(json.dumps(rewrite.filter, sort_keys=True).encode(), digest_size=16).digest()
