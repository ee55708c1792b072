"""The search loop: ask for candidates, gate them, until there are k or no more.

It does no input or output. `widen` is a generator that yields how many candidates it wants, counted from the best one on, and is sent them, so
that one loop serves stores of every kind, sync (`run`) and async (`arun`). What it never looks at is a chunk's id.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tamis._errors import ContractError, InputError
from tamis._native import Decision, Rewrite, Session

_log = logging.getLogger("tamis")

MAX_K = 10_000
"""More hits than this are refused: nobody reads them, and a model cannot."""
BUDGET = 10_000
"""How many candidates a search may ask for. Several stores refuse more in one answer."""
WIDE = 32
"""At least this many are asked for where the store's filter may be wide, or is none. Each time that they do not do, twice as many are."""
BATCH = 1024
"""How many are decided at once, so that one call stays within its deadline."""

Item = TypeVar("Item")
Ask = TypeVar("Ask")


@dataclass(frozen=True, slots=True)
class Hit(Generic[Item]):
    """Something that a store returned and the person may read, as it is: `decision` says what is to be redacted from it."""

    item: Item
    decision: Decision


@dataclass(frozen=True, slots=True)
class Found(Generic[Item]):
    """What a search found. All but the hits is for the operator, not for a model."""

    hits: list[Hit[Item]]
    """The hits, in the store's order: k of them unless there are fewer, or the budget ran out."""
    complete: bool
    """Whether these are all there are: k were found, or the store has no more."""
    examined: int
    """How many candidates the filter gate decided on."""
    denied: int
    """How many of them it denied."""
    exact: bool
    """Whether the filter that the store applied matched only what the policy allows."""
    generation: int
    """The generation that answered all of this."""


@dataclass(frozen=True, slots=True)
class Asks:
    """What the caller's own filter, or a search for words, asks about a chunk.

    A chunk from which the policy removes some of it is no hit: otherwise one could ask for the removed value, one guess after another.
    """

    attributes: frozenset[str] | None = frozenset()
    """The first names of the attributes. None where they are not known: then anything removed hides the chunk."""
    text: bool = False

    def reveals(self, decision: Decision) -> bool:
        """Whether a hit would answer what may not be known."""
        if self.attributes is None:
            return bool(decision.redacted) or decision.redacts_text
        if self.text and decision.redacts_text:
            return True
        return any(not path or path[0] in self.attributes for path in decision.redacted)


NOTHING = Asks()
ANYTHING = Asks(attributes=None, text=True)


def widen(
    session: Session,
    rewrite: Rewrite,
    k: int,
    chunk: Callable[[Item], object],
    *,
    exact: bool = False,
    asks: Asks = NOTHING,
    budget: int = BUDGET,
    first: int = 0,
    drops: bool = False,
    capped: bool = False,
) -> Generator[int, Sequence[Item], Found[Item]]:
    """Finds the best `k` items that the session's request may read.

    Each number that it yields is how many candidates to fetch from the best on, none left out; it is sent what there is. An answer that is
    shorter says that the store has no more; one of a store that `drops` some of what it finds only if it is not longer when more are asked for, and
    of one that is `capped`, so that it gives no more than so many, not even then.
    `chunk` makes of an item what the gate decides on, or None, which is denied, of one that cannot be read. `rewrite` is the session's own; the
    caller gives it to the store as well as the store takes it, and says with `exact` whether the store then leaves out all that the filter does
    not match. At least `first` are fetched at first. If the policy allows nothing, nothing is fetched.

    Raises `InputError` for a `k` of 0 or beyond 10 000 and for a request to store, and whatever the gate raises. Nothing is handed out then.
    """
    check_k(k)
    _check_reads(session)
    if budget < 1:
        raise InputError(f"the budget is {budget}; it must be at least 1")
    exact = exact and rewrite.exact
    if rewrite.never:
        return Found([], True, 0, 0, rewrite.exact, session.generation)
    wanted = min(max(first, k if exact else wide_page(k)), budget)
    before = 0
    while True:
        candidates = (yield wanted)[:budget]
        # All over again: an approximate index may rank others first when it is asked for more.
        hits, examined, denied = _gate(session, candidates, k, chunk, asks)
        is_last = len(candidates) < wanted and (not (drops or capped) or len(candidates) <= before)
        has_all = len(hits) == k or (is_last and not capped)
        if has_all or is_last or wanted >= budget:
            break
        before = len(candidates)
        wanted = min(2 * wanted, budget)
    if denied and not hits:
        _say_why(session, chunk(candidates[0]))
    if exact and denied:
        # Safe, since the gate decides; but the store ignores the filter, or data changed under it.
        _log.warning(
            "a filter that should be exact let %d of %d candidates through that the policy denies", denied, examined
        )
        exact = False
    return Found(hits, has_all, examined, denied, exact, session.generation)


def wide_page(k: int) -> int:
    """How many candidates are asked for at first where many of them may be denied."""
    return max(2 * k, WIDE)


def check_k(k: int) -> None:
    """Raises `InputError` for a number of hits that is no search's."""
    if not 1 <= k <= MAX_K:
        raise InputError(f"k is {k}; it must be from 1 to {MAX_K}")


def _gate(
    session: Session, candidates: Sequence[Item], k: int, chunk: Callable[[Item], object], asks: Asks
) -> tuple[list[Hit[Item]], int, int]:
    hits: list[Hit[Item]] = []
    examined = denied = 0
    for start in range(0, len(candidates), BATCH):
        batch = candidates[start : start + BATCH]
        for item, decision in zip(batch, decide(session, [chunk(item) for item in batch]), strict=True):
            if len(hits) == k:
                return hits, examined, denied
            examined += 1
            if decision is None or not decision.allow:
                denied += 1
            elif not asks.reveals(decision):
                hits.append(Hit(item, decision))
    return hits, examined, denied


def _say_why(session: Session, first: object | None) -> None:
    """Tells the operator what the gate lacks, where nothing passes it: a store that leaves out metadata looks like one without any hits."""
    if first is None:
        _log.warning("nothing passed the gate: the place of a chunk's type, id or ancestors holds something else")
        return
    (decision,) = session.decide([first], explain=True)
    if decision.errors:
        why = "; ".join(": ".join(part for part in error if part) for error in decision.errors)
        _log.warning("nothing passed the gate, and of the first candidate it says: %s", why)


def _check_reads(session: Session) -> None:
    """Refuses a request to store: what one may store is not what one may read."""
    if session.request.action == "index":
        raise InputError("request: action: it is `index`, which is to store; what is read wants another, `retrieve`")


def decide(session: Session, chunks: Sequence[object | None]) -> list[Decision | None]:
    """The decisions on chunks that are to be read, by position. None, which is no chunk, gets none.

    Raises `InputError` for a request to store, and whatever the session raises.
    """
    _check_reads(session)
    readable = [chunk for chunk in chunks if chunk is not None]
    decisions = session.decide(readable) if readable else []
    if len(decisions) != len(readable):
        raise ContractError(f"{len(decisions)} decisions on {len(readable)} chunks")
    left = iter(decisions)
    return [None if chunk is None else next(left) for chunk in chunks]


def run(search: Generator[Ask, Sequence[Item], Found[Item]], fetch: Callable[[Ask], Sequence[Item]]) -> Found[Item]:
    """Runs a search, of `widen` or one made of such, over a store that answers at once."""
    try:
        wanted = next(search)
        while True:
            wanted = search.send(fetch(wanted))
    except StopIteration as end:
        return _found(end)


async def arun(
    search: Generator[Ask, Sequence[Item], Found[Item]], fetch: Callable[[Ask], Awaitable[Sequence[Item]]]
) -> Found[Item]:
    """Runs a search over a store that is awaited."""
    try:
        wanted = next(search)
        while True:
            wanted = search.send(await fetch(wanted))
    except StopIteration as end:
        return _found(end)


def _found(end: StopIteration) -> Found[Any]:
    found = end.value
    if not isinstance(found, Found):
        raise TypeError("a search ended without having found anything out")
    return found
