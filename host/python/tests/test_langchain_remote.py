"""What LangChain's stores send to databases that do not run here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_stores import Words, milvus, qdrant

import tamis
from conftest import BOB, HELEN, documents
from tamis._langchain_narrow import Wanted
from tamis._langchain_stores import narrowed
from tamis._layout import Layout
from tamis.langchain import TamisRetriever

DOCUMENTS = documents()


class Index:
    """Answers with all that there is, nearest or not, and keeps what it was asked."""

    config = SimpleNamespace(host="localhost", api_key="none")

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def query(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        matches = [
            {"id": str(number), "score": 1.0, "metadata": {**metadata, "text": text}}
            for number, (text, metadata) in enumerate(DOCUMENTS)
        ]
        # What has no text LangChain drops.
        return {"matches": [{"id": "x", "score": 1.0, "metadata": {}}, *matches][: asked["top_k"]]}


def numbers(retriever: TamisRetriever, **arguments: Any) -> set[int]:
    return {document.metadata["number"] for document in retriever.invoke("vacuum", **arguments)}


OPEN = set(range(0, 60, 6))


def test_pinecone(policy: tamis.Policy) -> None:
    from langchain_pinecone import PineconeVectorStore

    index = Index()
    store = PineconeVectorStore(index=index, embedding=Words())
    retriever = TamisRetriever(
        store=store, policy=policy, k=20, request=tamis.Request(BOB), search_kwargs={"namespace": "n"}, filter={"a": 1}
    )
    assert numbers(retriever, filter={"number": {"$lt": 20}}) == OPEN
    ours = policy.rewrite(BOB).to("pinecone", {"entity_type": {"absent": True}, "id": {"absent": True}})
    assert index.asked[0]["filter"] == {"$and": [{"$and": [ours, {"a": 1}]}, {"number": {"$lt": 20}}]}
    assert index.asked[0]["namespace"] == "n"
    assert [asked["top_k"] for asked in index.asked] == [40, 80, 160]


def test_weaviate(policy: tamis.Policy) -> None:
    from langchain_weaviate import WeaviateVectorStore
    from weaviate.classes.query import Filter
    from weaviate.collections.filters import _FilterToGRPC

    asked: list[dict[str, Any]] = []

    class Query:
        def hybrid(self, **arguments: Any) -> Any:
            asked.append(arguments)
            objects = [
                SimpleNamespace(
                    properties={**metadata, "text": text},
                    metadata=SimpleNamespace(score=1.0),
                    vector=None,
                    uuid=f"id{number}",
                )
                for number, (text, metadata) in enumerate(DOCUMENTS)
            ]
            return SimpleNamespace(objects=objects[: arguments["limit"]])

    store: Any = WeaviateVectorStore.__new__(WeaviateVectorStore)
    store._embedding, store._text_key, store._multi_tenancy_enabled = Words(), "text", False
    store._collection = SimpleNamespace(query=Query())
    retriever = TamisRetriever(store=store, policy=policy, k=20, request=tamis.Request(BOB))
    theirs = Filter.by_property("number").less_than(20)
    assert numbers(retriever, filter=theirs) == OPEN
    ours = policy.rewrite(BOB).to("weaviate", {"entity_type": {"absent": True}, "id": {"absent": True}})
    assert _FilterToGRPC.convert(asked[0]["filters"]) == _FilterToGRPC.convert(ours & theirs)
    # It searches for words too, so what is redacted from a chunk cannot be found by it.
    helen = TamisRetriever(store=store, policy=policy, k=50, request=tamis.Request(HELEN))
    assert {document.metadata["kind"] for document in helen.invoke("person")} == {"page"}
    # A policy that asks which chunk it is has the id.
    one = tamis.Policy.compile('permit(principal, action, resource == Chunk::"id7");')
    only = TamisRetriever(store=store, policy=one, k=50, request=tamis.Request(BOB))
    assert numbers(only) == {7}


def test_milvus(policy: tamis.Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus Lite takes no parameters in a filter, so what Milvus is sent goes there without it."""
    store: Any = milvus(DOCUMENTS, tmp_path)
    asked: list[dict[str, Any]] = []
    client = store.client

    class Client:
        def search(self, *arguments: Any, filter: Any = None, filter_params: Any = None, **others: Any) -> Any:
            asked.append({"filter": filter, "filter_params": filter_params})
            return client.search(*arguments, **others)

    monkeypatch.setattr(type(store), "client", property(lambda self: Client()))
    retriever = TamisRetriever(store=store, policy=policy, k=10, request=tamis.Request(BOB))
    assert numbers(retriever, filter=("number < {n}", {"n": 99})) == OPEN
    sent = asked[0]
    assert sent["filter"] == '((($meta["tenant"] == {tamis_0}) and ($meta["level"] <= {tamis_1}))) and (number < {n})'
    assert sent["filter_params"] == {"tamis_0": "acme", "tamis_1": 1, "n": 99}

    rewrite = policy.rewrite(BOB)
    store.enable_dynamic_field = False
    for column, filters, expected in [
        ("meta", [], '((meta["tenant"] == {tamis_0}) and (meta["level"] <= {tamis_1}))'),
        # A column for each attribute, whose types are not known.
        (None, ["number < 9"], "number < 9"),
        (None, [], None),
    ]:
        store._metadata_field = column
        told = narrowed(store, Wanted(policy, rewrite, Layout(), filters, push_down=True))
        assert told.arguments.get("expr") == expected
        assert ("filter_params" in told.arguments) == (column is not None)


def test_what_searches_for_words_cannot_find_what_is_redacted(
    policy: tamis.Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_qdrant import RetrievalMode

    def asks_about_text(store: Any) -> bool:
        rewrite = policy.rewrite(HELEN)
        return narrowed(store, Wanted(policy, rewrite, Layout(), [], push_down=True)).asks.text

    store: Any = qdrant(DOCUMENTS, tmp_path)
    for mode in RetrievalMode:
        store.retrieval_mode = mode
        assert asks_about_text(store) == (mode is not RetrievalMode.DENSE)
    store = milvus(DOCUMENTS, tmp_path)
    assert not asks_about_text(store)
    for kind in ("_is_sparse", "_is_multi_vector"):
        with monkeypatch.context() as changed:
            changed.setattr(type(store), kind, True)
            assert asks_about_text(store)


def test_stores_that_nobody_knows(policy: tamis.Policy) -> None:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore

    class Other(VectorStore):
        """Has no async methods and takes a filter of its own."""

        def __init__(self) -> None:
            self.asked: list[dict[str, Any]] = []

        def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            self.asked.append({"k": k, **kwargs})
            return [Document(page_content=text, metadata=metadata) for text, metadata in DOCUMENTS][:k]

        @classmethod
        def from_texts(cls, texts: list[str], embedding: Embeddings, metadatas: Any = None, **kwargs: Any) -> Other:
            return cls()

    store = Other()
    retriever = TamisRetriever(store=store, policy=policy, k=5, request=tamis.Request(BOB))
    for found in (retriever.invoke("vacuum"), asyncio.run(retriever.ainvoke("vacuum"))):
        assert [document.metadata["number"] for document in found] == [0, 6, 12, 18, 24]
    assert numbers(retriever, filter="theirs") == {0, 6, 12, 18, 24}
    assert store.asked == [{"k": 32}, {"k": 32}, {"k": 32, "filter": "theirs"}]
    retriever.filter = "another"
    with pytest.raises(tamis.InputError, match="both"):
        retriever.invoke("vacuum", filter="theirs")
    # It may search for words, so what is redacted from a chunk cannot be found by it.
    helen = TamisRetriever(store=store, policy=policy, k=50, request=tamis.Request(HELEN))
    assert {document.metadata["kind"] for document in helen.invoke("person")} == {"page"}
