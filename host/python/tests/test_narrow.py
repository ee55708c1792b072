"""When a store is given the policy's filter, and when that is not worth it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_stores import Words

import tamis
from conftest import ALICE, BOB, CAROL, HELEN, NOBODY, documents, embed, similarity
from tamis import _narrow
from tamis._narrow import NarrowFilters, key_of
from tamis.langchain import Found, TamisRetriever

PEOPLE = [ALICE, BOB, CAROL, HELEN, NOBODY]
EVERYBODY = "permit(principal, action, resource) when { resource.level <= 9 };"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched(InMemoryVectorStore):
    """Keeps how many were asked for, and whether with a filter."""

    def __init__(self) -> None:
        super().__init__(Words())
        self.add_texts([text for text, _ in documents()], [metadata for _, metadata in documents()])
        self.asked: list[tuple[int, bool]] = []

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        self.asked.append((k, "filter" in kwargs))
        return super().similarity_search(query, k, **kwargs)

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return self.similarity_search(query, k, **kwargs)


def test_what_is_remembered_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    narrow = NarrowFilters(clock)
    assert not narrow.has(b"a")
    narrow.add(b"a")
    clock.now = 299.0
    assert [narrow.has(b"a") for _ in range(101)] == [True] * 100 + [False]
    narrow.add(b"a")
    clock.now += 300.0
    assert not narrow.has(b"a")
    monkeypatch.setattr(_narrow, "MOST", 2)
    for key in (b"a", b"b"):
        narrow.add(key)
    assert narrow.has(b"a")
    narrow.add(b"c")
    assert [narrow.has(key) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_filters_are_told_apart(policy: tamis.Policy) -> None:
    assert len({key_of(policy.rewrite(request)) for request in PEOPLE}) == len(PEOPLE)
    assert key_of(policy.rewrite(BOB)) == key_of(policy.rewrite(BOB, k=3))


def test_a_wide_filter_is_done_without() -> None:
    store = Watched()
    retriever = TamisRetriever(store=store, policy=tamis.Policy.compile(EVERYBODY), k=5, request=tamis.Request(BOB))
    for _ in range(3):
        assert len(retriever.invoke("vacuum")) == 5
    assert store.asked == [(32, False)] * 3
    retriever.wide_first = False
    assert len(retriever.invoke("vacuum")) == 5
    assert store.asked[3:] == [(5, True)]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_narrow_filter_is_given_to_the_store_once_that_is_known(policy: tamis.Policy, is_async: bool) -> None:
    store = Watched()
    retriever = TamisRetriever(store=store, policy=policy, k=5, request=tamis.Request(BOB))

    def invoke() -> list[Document]:
        return asyncio.run(retriever.ainvoke("vacuum")) if is_async else retriever.invoke("vacuum")

    for _ in range(102):
        assert len(invoke()) == 5
    once = [(32, False), (5, True)]
    assert store.asked == [*once, *[(5, True)] * 100, *once]


def test_what_is_found_is_the_same(policy: tamis.Policy) -> None:
    store = Watched()
    for k in (1, 5, 20, 62):
        plain = TamisRetriever(store=store, policy=policy, k=k, wide_first=False)
        first = TamisRetriever(store=store, policy=policy, k=k)
        for query in ("vacuum page", "the weather"):
            for _ in range(2):
                for request in map(tamis.Request, PEOPLE):
                    store.asked.clear()
                    wanted = plain.search(query, request=request)
                    before = len(store.asked)
                    found = first.search(query, request=request)
                    # Which of those that are as near as each other come first is the store's choice.
                    assert nearness(query, found) == pytest.approx(nearness(query, wanted))
                    assert (len(found.hits), found.complete) == (len(wanted.hits), wanted.complete)
                    assert len(store.asked) - before <= before + 1


def nearness(query: str, found: Found[Document]) -> list[float]:
    """How near the hits are. A text that is redacted is not near, though it was."""
    return [similarity(embed(query), embed(hit.item.page_content)) for hit in found.hits if hit.item.page_content]


def test_a_search_with_a_filter_of_the_callers_own_always_has_both(policy: tamis.Policy) -> None:
    store = Watched()
    retriever = TamisRetriever(store=store, policy=policy, k=5, request=tamis.Request(BOB))
    retriever.invoke("vacuum", filter=lambda document: True)
    TamisRetriever(store=store, policy=policy, k=5, push_down=False, request=tamis.Request(BOB)).invoke("vacuum")
    assert store.asked == [(5, True), (32, False), (64, False)]
    store.asked.clear()
    forbidden = tamis.Policy.compile("forbid(principal, action, resource);")
    assert TamisRetriever(store=store, policy=forbidden, request=tamis.Request(BOB)).invoke("vacuum") == []
    assert store.asked == []


def test_what_one_person_found_is_nothing_to_another(policy: tamis.Policy) -> None:
    store = Watched()
    retriever = TamisRetriever(store=store, policy=policy, k=5)

    def search(number: int) -> bool:
        request = PEOPLE[number % len(PEOPLE)]
        hits = retriever.search("vacuum page", request=tamis.Request(request)).hits
        mine = request["subject"]["properties"]
        return all(
            hit.item.metadata["tenant"] == mine["tenant"]
            and (hit.item.metadata["level"] <= mine["clearance"] or hit.item.page_content == "")
            for hit in hits
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(search, range(400)))
