"""LlamaIndex: what a pipeline stores."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.vector_stores import SimpleVectorStore
from llama_stores import Words, node

import tamis
from tamis.llama_index import TamisAdmitGate, TamisVectorStore

POLICY = """
@id("own") permit(principal is Service, action == Action::"index", resource) when { resource.tenant == principal.tenant };
@id("read") permit(principal is User, action == Action::"retrieve", resource) when { resource.level <= principal.clearance };
"""


def loader(tenant: str = "acme", action: str = "index") -> dict[str, Any]:
    return {
        "subject": {"type": "Service", "id": "loader", "properties": {"tenant": tenant}},
        "action": {"name": action},
    }


@pytest.fixture(scope="module")
def policy() -> tamis.Policy:
    return tamis.Policy.compile(POLICY)


def made() -> list[BaseNode]:
    return [
        node("good", {"tenant": "acme", "level": 1}, id_="a"),
        node("other tenant", {"tenant": "globex", "level": 1}, id_="a"),
        node("no level", {"tenant": "acme"}),
        node("level is null", {"tenant": "acme", "level": None}),
        node("no metadata", {}),
        node("good too", {"tenant": "acme", "level": 0, "more": {"x": [1]}}),
    ]


def texts(nodes: Any) -> list[str]:
    return [admitted.get_content() for admitted in nodes]


async def test_what_is_admitted(policy: tamis.Policy) -> None:
    refused: list[tuple[BaseNode, Any]] = []
    gate = TamisAdmitGate(policy, request=loader(), refused=refused.extend)
    first = made()
    admitted = gate(first)
    assert [any(one is other for other in first) for one in admitted] == [True] * len(admitted)
    assert "good" in texts(admitted)
    assert "other tenant" not in texts(admitted)
    assert "no metadata" not in texts(admitted)
    assert {one.get_content() for one, _ in refused} | set(texts(admitted)) == set(texts(first))
    assert all(admission is not None and not admission.admitted for _, admission in refused)
    assert texts(await gate.acall(made())) == texts(admitted)
    assert TamisAdmitGate(policy, request=loader(action="retrieve"))(made()) == []
    assert texts(TamisAdmitGate(policy, request=loader("globex"))(made())) == ["other tenant"]


def test_how_many_are_refused_is_logged_and_not_what(policy: tamis.Policy, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        TamisAdmitGate(policy, request=loader())(made())
    assert "the admit gate refused" in caplog.text
    assert "other tenant" not in caplog.text


async def test_in_a_pipeline(policy: tamis.Policy) -> None:
    store = SimpleVectorStore()
    pipeline = IngestionPipeline(
        transformations=[TamisAdmitGate(policy), Words()], vector_store=TamisVectorStore(store, policy)
    )
    with pytest.raises(tamis.NoRequestError):
        pipeline.run(nodes=made())
    assert store.data.embedding_dict == {}
    with tamis.acting(loader()):
        stored = pipeline.run(nodes=made(), show_progress=False)
        assert "other tenant" not in texts(stored)
        assert set(store.data.embedding_dict) == {one.node_id for one in stored}
        assert texts(await pipeline.arun(nodes=made())) == texts(stored)


def test_a_cache_never_answers_for_the_gate(policy: tamis.Policy) -> None:
    cache = IngestionCache()
    first = made()

    def run(gate: TamisAdmitGate) -> list[str]:
        return texts(IngestionPipeline(transformations=[gate], cache=cache).run(nodes=first))

    everything = tamis.Policy.compile("permit(principal, action, resource);")
    assert len(run(TamisAdmitGate(everything, request=loader()))) == 6
    assert "other tenant" not in run(TamisAdmitGate(policy, request=loader()))
    assert run(TamisAdmitGate(policy, request=loader("globex"))) == ["other tenant"]
    changing = tamis.Policy.compile("permit(principal, action, resource);")
    gate = TamisAdmitGate(changing, request=loader())
    assert len(run(gate)) == 6
    changing.replace(tamis.Policy.compile("forbid(principal, action, resource);"))
    assert run(gate) == []


def test_a_cache_would_answer_for_another_step() -> None:
    """So that the test above would notice."""

    class Step(TransformComponent):
        def __call__(self, nodes: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return nodes

    calls: list[int] = []
    cache = IngestionCache()
    for _ in range(2):
        IngestionPipeline(transformations=[Step()], cache=cache).run(nodes=made())
        for one in made():
            assert one is not None
    first = made()[:1]
    for _ in range(2):
        IngestionPipeline(transformations=[Step()], cache=cache).run(nodes=first)
    assert len(calls) < 4


@pytest.mark.parametrize("what", ["gate", "store"])
def test_a_policy_stays_in_its_process(what: str, policy: tamis.Policy) -> None:
    """LlamaIndex drops what cannot be pickled, and goes on without."""
    held = TamisAdmitGate(policy, request=loader()) if what == "gate" else TamisVectorStore(SimpleVectorStore(), policy)
    with pytest.raises(TypeError, match="process"):
        pickle.dumps(held)


def test_documents_are_split_before_the_gate(policy: tamis.Policy) -> None:
    from llama_index.core.node_parser import SentenceSplitter

    documents = [Document(text="word " * 100, metadata={"tenant": tenant, "level": 1}) for tenant in ("acme", "globex")]
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=40, chunk_overlap=0), TamisAdmitGate(policy, request=loader())]
    )
    stored = pipeline.run(documents=documents)
    assert len(stored) > 1
    assert {one.metadata["tenant"] for one in stored} == {"acme"}
