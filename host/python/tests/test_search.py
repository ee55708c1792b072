"""The search loop, over lists."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, cast

import pytest

import tamis
from conftest import ALICE, BOB, HELEN, NOBODY, POLICY, allowed, documents
from tamis._layout import Layout
from tamis._search import ANYTHING, BATCH, NOTHING, Asks, Found, arun, run, widen

Item = dict[str, Any]

OPEN: Item = {"tenant": "acme", "level": 0}
CLOSED: Item = {"tenant": "acme", "level": 5}
PERSON: Item = {"tenant": "acme", "level": 9, "kind": "person", "salary": 1}


def chunk(item: Item | None) -> object:
    return None if item is None else tamis.Chunk(None, item)


class Source:
    """A list that keeps what it is asked for. It cannot give more than `most` at once."""

    def __init__(self, items: Sequence[Item | None], most: int = 1 << 30) -> None:
        self.items, self.most = items, most
        self.asked: list[int] = []

    def __call__(self, wanted: int) -> Sequence[Item | None]:
        self.asked.append(wanted)
        return self.items[: min(wanted, self.most)]


def search(
    policy: tamis.Policy, source: Source, k: int, request: dict[str, Any] = BOB, **options: Any
) -> Found[Item | None]:
    session = policy.session(request)
    return run(widen(session, session.rewrite(), k, chunk, **options), source)


def test_it_asks_for_more_until_there_are_k(policy: tamis.Policy) -> None:
    for items, k, options, hits, asked, complete in [
        ([OPEN] * 100, 5, {"exact": True}, 5, [5], True),
        ([OPEN] * 100, 5, {}, 5, [32], True),
        ([OPEN] * 100, 40, {}, 40, [80], True),
        ([CLOSED] * 40 + [OPEN] * 9, 5, {}, 5, [32, 64], True),
        ([CLOSED] * 40 + [OPEN] * 9, 5, {"exact": True}, 5, [5, 10, 20, 40, 80], True),
        ([CLOSED] * 200 + [OPEN] * 3, 5, {}, 3, [32, 64, 128, 256], True),
        ([], 5, {}, 0, [32], True),
        ([CLOSED] * 32, 5, {}, 0, [32, 64], True),
        # As many as were asked for, and the budget is spent: there may be more.
        ([CLOSED] * 1000, 5, {"budget": 100}, 0, [32, 64, 100], False),
        ([CLOSED] * 99, 5, {"budget": 100}, 0, [32, 64, 100], True),
        ([OPEN] * 3, 5, {"budget": 3}, 3, [3], False),
        ([CLOSED] * 60 + [OPEN] * 9, 5, {"first": 50}, 5, [50, 100], True),
    ]:
        source = Source(items)
        found = search(policy, source, k, **options)
        assert (len(found.hits), source.asked, found.complete) == (hits, asked, complete), (len(items), k, options)
        assert all(hit.item == OPEN for hit in found.hits)
        assert found.denied <= found.examined <= len(items)


def test_a_store_that_drops_some_is_asked_again(policy: tamis.Policy) -> None:
    class Dropping(Source):
        def __call__(self, wanted: int) -> Sequence[Item | None]:
            return super().__call__(wanted)[::2]

    items = [CLOSED] * 60 + [OPEN] * 60
    hasty = search(policy, Dropping(items), 20)
    assert (len(hasty.hits), hasty.complete) == (0, True)
    source = Dropping(items)
    found = search(policy, source, 20, drops=True)
    assert (len(found.hits), found.complete, source.asked) == (20, True, [40, 80, 160])
    source = Dropping(items)
    found = search(policy, source, 50, drops=True)
    assert (len(found.hits), found.complete, source.asked) == (30, True, [100, 200, 400])


def test_a_store_that_is_capped_does_not_say_that_there_are_no_more(policy: tamis.Policy) -> None:
    items = [CLOSED] * 10 + [OPEN] * 60
    for k, hits, asked, complete in [(10, 10, [32], True), (20, 20, [40], True), (40, 30, [80, 160], False)]:
        source = Source(items, most=40)
        found = search(policy, source, k, capped=True)
        assert (len(found.hits), source.asked, found.complete) == (hits, asked, complete)


def test_never_asks_nothing(policy: tamis.Policy) -> None:
    source = Source([OPEN])
    forbidden = tamis.Policy.compile("forbid(principal, action, resource);")
    found = search(forbidden, source, 5)
    assert (found.hits, found.complete, found.examined, source.asked) == ([], True, 0, [])


def test_k_and_budget_have_bounds(policy: tamis.Policy) -> None:
    source = Source([OPEN])
    for k in (0, -1, 10_001):
        with pytest.raises(tamis.InputError, match=f"k is {k}"):
            search(policy, source, k)
    with pytest.raises(tamis.InputError, match="budget"):
        search(policy, source, 1, budget=0)
    assert source.asked == []


def test_the_permission_to_store_is_none_to_read() -> None:
    policy = tamis.Policy.compile("""permit(principal, action == Action::"index", resource);""")
    source = Source([OPEN] * 100)
    with pytest.raises(tamis.InputError, match="`index`"):
        search(policy, source, 5, {**BOB, "action": {"name": "index"}})
    assert not source.asked
    assert not search(policy, source, 5).hits


def test_an_exact_filter_that_lets_something_through_is_not_exact(
    policy: tamis.Policy, caplog: pytest.LogCaptureFixture
) -> None:
    assert search(policy, Source([OPEN] * 9), 5, exact=True).exact
    assert "should be exact" not in caplog.text
    found = search(policy, Source([CLOSED] + [OPEN] * 9), 5, exact=True)
    assert (len(found.hits), found.denied, found.exact) == (5, 1, False)
    assert "should be exact" in caplog.text


def test_what_cannot_be_read_is_denied(policy: tamis.Policy) -> None:
    cycle: Item = {"tenant": "acme"}
    cycle["level"] = cycle
    odd: list[Item | None] = [
        None,
        {},
        {"tenant": "acme"},
        {"tenant": "acme", "level": None},
        {"tenant": "acme", "level": "0"},
        {"tenant": "acme", "level": float("nan")},
        {"tenant": "acme", "level": {0}},
        {"tenant": b"acme", "level": 0},
        {"tenant": ["acme"], "level": 0},
        cycle,
        OPEN,
    ]
    found = search(policy, Source(odd), 20)
    assert [hit.item for hit in found.hits] == [OPEN]
    assert (found.examined, found.denied) == (11, 10)


def test_what_is_asked_of_redacted_attributes_is_not_answered(policy: tamis.Policy) -> None:
    for asks, is_shown in [
        (NOTHING, True),
        (Asks(frozenset({"kind", "name"})), True),
        (Asks(frozenset({"salary"})), False),
        (Asks(text=True), False),
        (ANYTHING, False),
    ]:
        found = search(policy, Source([PERSON, OPEN]), 5, HELEN, asks=asks)
        assert [hit.item for hit in found.hits] == ([PERSON, OPEN] if is_shown else [OPEN])
        # Nothing is redacted for whom another rule allows it.
        boss = {**ALICE, "subject": {**ALICE["subject"], "properties": {"tenant": "acme", "clearance": 9}}}
        assert len(search(policy, Source([PERSON, OPEN]), 5, boss, asks=asks).hits) == 2


def test_one_generation_answers_a_whole_search() -> None:
    policy = tamis.Policy.compile(POLICY)
    other = tamis.Policy.compile("permit(principal, action, resource);")
    session = policy.session(BOB)
    steps = widen(session, session.rewrite(), 5, chunk)
    assert next(steps) == 32
    assert policy.replace(other) == 2
    assert steps.send([CLOSED] * 32) == 64
    with pytest.raises(StopIteration) as end:
        steps.send([CLOSED] * 32 + [OPEN])
    found = end.value.value
    assert ([hit.item for hit in found.hits], found.generation) == ([OPEN], 1)
    assert len(search(policy, Source([CLOSED]), 5).hits) == 1


def test_as_many_decisions_as_chunks_or_none(policy: tamis.Policy) -> None:
    real = policy.session(BOB)

    class Session:
        """Decides on too few, or on too many."""

        generation = 1
        request = real.request

        def __init__(self, more: int) -> None:
            self.more = more

        def decide(self, chunks: Sequence[object]) -> list[tamis.Decision]:
            decisions = real.decide([chunk(OPEN)] * len(chunks))
            return decisions + decisions[:1] if self.more > 0 else decisions[:-1]

    for more in (1, -1):
        steps = widen(cast("tamis.Session", Session(more)), real.rewrite(), 5, chunk)
        with pytest.raises(tamis.ContractError):
            run(steps, Source([OPEN, CLOSED]))


def test_async_is_the_same_and_can_be_cancelled(policy: tamis.Policy) -> None:
    async def search_async(delay: float) -> Found[Item | None]:
        source = Source([CLOSED] * 40 + [OPEN] * 9)

        async def fetch(wanted: int) -> Sequence[Item | None]:
            await asyncio.sleep(delay)
            return source(wanted)

        session = policy.session(BOB)
        async with asyncio.timeout(5 if delay < 1 else 0.05):
            return await arun(widen(session, session.rewrite(), 5, chunk), fetch)

    found, same = asyncio.run(search_async(0)), search(policy, Source([CLOSED] * 40 + [OPEN] * 9), 5)
    assert [hit.item for hit in found.hits] == [hit.item for hit in same.hits] == [OPEN] * 5
    assert (found.examined, found.denied, found.complete) == (same.examined, same.denied, same.complete)
    with pytest.raises(TimeoutError):
        asyncio.run(search_async(60))


def test_random_sources(policy: tamis.Policy) -> None:
    """The first k that the policy allows, whatever comes in which order, and however much of it."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    made = [metadata for _, metadata in documents()]
    for _ in range(60):
        items = dice.choices(made, k=dice.choice([0, 1, 31, 32, 33, 200, BATCH + 7]))
        k, budget = dice.choice([1, 4, 50, 300]), dice.choice([1, 10, 64, 5000])
        for request in (ALICE, BOB, HELEN, NOBODY):
            found = search(policy, Source(items), k, request, budget=budget)
            expected = [item for item in items[:budget] if allowed(request, item)][:k]
            assert [hit.item for hit in found.hits] == expected, f"seed {seed}"
            assert found.complete == (len(expected) == k or len(items) < budget), f"seed {seed}"


def test_a_layout_makes_chunks_and_redacts() -> None:
    layout = Layout(
        {
            "attributes": [
                {"attr": ["owner", "team"], "field": ["owner_team"]},
                {"attr": ["a"], "field": ["meta", "b"]},
            ],
            "entity_type": {"field": "type"},
            "id": {"field": "own_id"},
        }
    )
    metadata = {"owner_team": "red", "meta": {"b": 1, "c": 2}, "a": 5, "type": "Page", "own_id": "x"}
    made = layout.chunk(metadata, "other")
    assert made is not None
    assert (made.id, made.type, made.attributes["owner"], made.attributes["a"]) == ("x", "Page", {"team": "red"}, 1)
    # A field that has the name of an attribute, and is not it.
    assert "owner" not in (layout.chunk({"type": "Page", "own_id": "x"}, None) or made).attributes
    other = layout.chunk({"type": "Page", "own_id": "x", "a": 5, "owner": 7}, None)
    assert other is not None
    assert other.attributes == {"type": "Page", "own_id": "x", "owner": 7}
    for odd in (
        {"type": 1, "own_id": "x"},
        {"own_id": "x"},
        {"type": "Page", "own_id": 5},
        *(
            {"type": "Page", "own_id": "x", "ancestors": ancestors}
            for ancestors in ("x", 1, ["x"], [1], ['"ab"'], ['["a"]'])
        ),
    ):
        assert layout.chunk(odd, "other") is None
    in_folder = Layout().chunk({"ancestors": ['["Folder","x"]']}, "i")
    assert in_folder == tamis.Chunk("i", {"ancestors": ['["Folder","x"]']}, parents=[{"type": "Folder", "id": "x"}])


def test_what_is_redacted_goes_from_where_it_is_kept() -> None:
    for path, left in [
        ("owner", {"meta": {"b": 1, "c": 2}}),
        ("owner.team", {"meta": {"b": 1, "c": 2}, "owner": {"x": 1}}),
        ("a", {"owner_team": "red", "owner": {"x": 1, "team": "y"}, "meta": {"c": 2}}),
    ]:
        policy = tamis.Policy.compile(f'@redact("{path}") permit(principal, action, resource);')
        (decision,) = policy.decide(BOB, [tamis.Chunk("x", {})])
        layout = Layout(
            {
                "attributes": [
                    {"attr": ["owner", "team"], "field": ["owner_team"]},
                    {"attr": ["a"], "field": ["meta", "b"]},
                ]
            }
        )
        metadata = {"owner_team": "red", "owner": {"x": 1, "team": "y"}, "meta": {"b": 1, "c": 2}, "a": 3}
        before = repr(metadata)
        visible = layout.visible(metadata, decision)
        assert visible == {**left, **({} if path == "a" else {"a": 3})}
        assert repr(metadata) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"odd": 1},
        {"attributes": [{"attr": ["a"]}]},
        {"attributes": 5},
        {"id": {"constant": "x"}},
        {"ancestors": {}},
        {"entity_type": "Chunk"},
        {"entity_type": {"field": None}},
        {"id": {"absent": False}},
        {"id": {"field": "a", "absent": True}},
    ],
)
def test_a_map_of_another_shape_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(tamis.InputError, match="fields"):
        Layout(fields)
