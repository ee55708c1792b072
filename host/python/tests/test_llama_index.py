"""LlamaIndex: who asks, and what is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_stores import IN_PROCESS, index, node, nodes
from llama_watch import QUERY, check, model, texts, watching

import tamis
from conftest import ALICE, BOB, HELEN, SECRET, embed
from tamis.llama_index import TamisAdmitGate, TamisPostprocessor, TamisRetriever, TamisVectorStore

OPEN = {"tenant": "acme", "level": 0, "kind": "page", "agent_usable": True}

# Who asks


def entries(policy: tamis.Policy) -> dict[str, Callable[[], Any]]:
    made = index(SimpleVectorStore())
    store = TamisVectorStore(made.vector_store, policy, docstore=made.docstore)
    retriever = TamisRetriever(made.as_retriever(), policy)
    query = VectorStoreQuery(embed(QUERY), similarity_top_k=3)
    scored = [NodeWithScore(node=node("a", OPEN))]
    return {
        "retrieve": lambda: retriever.retrieve(QUERY),
        "aretrieve": lambda: retriever.aretrieve(QUERY),
        "_retrieve": lambda: retriever._retrieve(QueryBundle(QUERY, embedding=embed(QUERY))),
        "_aretrieve": lambda: retriever._aretrieve(QueryBundle(QUERY, embedding=embed(QUERY))),
        "query": lambda: store.query(query),
        "aquery": lambda: store.aquery(query),
        "get_nodes": lambda: store.get_nodes(["a"]),
        "aget_nodes": lambda: store.aget_nodes(["a"]),
        "postprocess_nodes": lambda: TamisPostprocessor(policy).postprocess_nodes(scored),
        "apostprocess_nodes": lambda: TamisPostprocessor(policy).apostprocess_nodes(scored),
        "admit": lambda: TamisAdmitGate(policy)([node("a", OPEN)]),
        "admit, async": lambda: TamisAdmitGate(policy).acall([node("a", OPEN)]),
        "admit nothing": lambda: TamisAdmitGate(policy)([]),
        "postprocess nothing": lambda: TamisPostprocessor(policy).postprocess_nodes([]),
    }


@pytest.mark.parametrize(
    "name",
    [
        "retrieve",
        "aretrieve",
        "_retrieve",
        "_aretrieve",
        "query",
        "aquery",
        "get_nodes",
        "aget_nodes",
        "postprocess_nodes",
        "apostprocess_nodes",
        "admit",
        "admit, async",
        "admit nothing",
        "postprocess nothing",
    ],
)
async def test_nobody_asks_and_nothing_is_searched(policy: tamis.Policy, name: str) -> None:
    with pytest.raises(tamis.NoRequestError):
        called = entries(policy)[name]()
        if hasattr(called, "__await__"):
            await called


@pytest.mark.parametrize("name", ["retrieve", "_aretrieve", "query", "aquery", "postprocess_nodes"])
async def test_the_permission_to_store_is_none_to_read(name: str) -> None:
    policy = tamis.Policy.compile("""permit(principal, action == Action::"index", resource);""")
    with tamis.acting({**BOB, "action": {"name": "index"}}), pytest.raises(tamis.InputError, match="`index`"):
        called = entries(policy)[name]()
        if hasattr(called, "__await__"):
            await called


async def test_the_innermost_request_asks(policy: tamis.Policy) -> None:
    retriever = TamisRetriever(index(SimpleVectorStore()).as_retriever(similarity_top_k=5), policy)
    with tamis.acting(ALICE):
        assert SECRET in "".join(texts(retriever.retrieve(QUERY)))
        with tamis.acting(BOB):
            check(await retriever.aretrieve(QUERY))
        assert SECRET in "".join(texts(await retriever.aretrieve(QUERY)))


def test_the_constructor_s_request_is_not_changed_by_the_surroundings(policy: tamis.Policy) -> None:
    retriever = TamisRetriever(index(SimpleVectorStore()).as_retriever(similarity_top_k=5), policy, request=BOB)
    with tamis.acting(ALICE):
        check(retriever.retrieve(QUERY))


async def test_many_ask_at_once_and_each_for_themselves(policy: tamis.Policy) -> None:
    retriever = TamisRetriever(index(SimpleVectorStore()).as_retriever(similarity_top_k=5), policy)

    def in_thread(number: int) -> None:
        with tamis.acting((ALICE, BOB)[number % 2]):
            found = retriever.retrieve(QUERY)
        assert len(found) == 5
        assert (SECRET in "".join(texts(found))) == (number % 2 == 0)

    async def in_task(number: int) -> None:
        with tamis.acting((ALICE, BOB)[number % 2]):
            await asyncio.sleep(0)
            found = await retriever.aretrieve(QUERY)
        assert len(found) == 5
        assert (SECRET in "".join(texts(found))) == (number % 2 == 0)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(in_thread, range(40)))
    await asyncio.gather(*(in_task(number) for number in range(40)))


# What is reported


@pytest.mark.parametrize("store", ["simple", "qdrant", "chroma"])
async def test_reports_see_what_is_handed_out(
    policy: tamis.Policy, store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = index(IN_PROCESS[store](tmp_path))
    for who in (BOB, HELEN):
        with watching(caplog) as watched:
            inner = made.as_retriever(similarity_top_k=5)
            inner.callback_manager = CallbackManager([watched.callbacks])
            retriever = TamisRetriever(inner, policy, request=who)
            assert retriever.retrieve(QUERY)
            assert await retriever.aretrieve(QUERY)
        assert "RetrievalEndEvent" in watched.events.kinds
        assert "vacuum page" in "".join(watched.events.seen)
        assert "vacuum page" in "".join(watched.spans.seen)
        assert "vacuum page" in "".join(watched.callbacks.seen)
        for place in (watched.seen(), caplog.text.replace(QUERY, "")):
            assert SECRET not in place
            assert "salary" not in place
            assert "globex" not in place


async def test_without_the_gate_reports_see_everything(caplog: pytest.LogCaptureFixture) -> None:
    """So that the test above would notice."""
    with watching(caplog) as watched:
        retriever = index(SimpleVectorStore()).as_retriever(similarity_top_k=60)
        retriever.callback_manager = CallbackManager([watched.callbacks])
        retriever.retrieve(QUERY)
    for seen in (watched.events.seen, watched.spans.seen, watched.callbacks.seen):
        assert SECRET in "".join(seen)
        assert "globex" in "".join(seen)


def test_the_postprocessor_is_not_traced(policy: tamis.Policy, caplog: pytest.LogCaptureFixture) -> None:
    with watching(caplog) as watched:
        gate = TamisPostprocessor(policy, request=BOB)
        found = gate.postprocess_nodes([NodeWithScore(node=made, score=1.0) for made in nodes()], query_str=QUERY)
    check(found)
    assert SECRET not in watched.seen()


async def test_a_model_is_shown_what_is_handed_out(policy: tamis.Policy, caplog: pytest.LogCaptureFixture) -> None:
    shown = model()
    made = index(SimpleVectorStore())
    store = TamisVectorStore(made.vector_store, policy, docstore=made.docstore)
    with watching(caplog) as watched, tamis.acting(BOB):
        engine = RetrieverQueryEngine.from_args(
            TamisRetriever(made.as_retriever(similarity_top_k=5), policy), llm=shown
        )
        assert len(engine.query(QUERY).source_nodes) == 5
        assert len((await engine.aquery(QUERY)).source_nodes) == 5
        made._vector_store = store
        assert len(made.as_query_engine(llm=shown, similarity_top_k=5).query(QUERY).source_nodes) == 5
        chat = made.as_chat_engine(chat_mode="context", llm=shown, similarity_top_k=5)
        assert len(chat.chat(QUERY).source_nodes) == 5
    assert len(shown.shown) == 4
    for prompt in shown.shown:
        assert "vacuum page" in prompt
        assert SECRET not in prompt.replace(QUERY, "")
    assert "globex" not in watched.seen()


def test_postprocessors_of_as_retriever_are_ignored_which_is_why_the_store_is_guarded(policy: tamis.Policy) -> None:
    made = index(SimpleVectorStore())
    gate = TamisPostprocessor(policy, request=BOB)
    assert SECRET in "".join(texts(made.as_retriever(similarity_top_k=5, node_postprocessors=[gate]).retrieve(QUERY)))
    made._vector_store = TamisVectorStore(made.vector_store, policy, request=BOB, docstore=made.docstore)
    check(made.as_retriever(similarity_top_k=5, node_postprocessors=[gate]).retrieve(QUERY))
