"""The LangChain retriever over real stores, and LangChain's own tests of retrievers and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_core.vectorstores import VectorStore
from langchain_stores import IN_PROCESS, Documents, in_memory, pgvector, pgvectorstore, postgres_server, qdrant
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

import tamis
from conftest import (
    AGENT,
    ALICE,
    BOB,
    CAROL,
    HELEN,
    NOBODY,
    POLICY,
    SECRET,
    allowed,
    best,
    documents,
    embed,
    similarity,
)
from tamis.langchain import Found, TamisRetriever, search_tool

PEOPLE = {"alice": ALICE, "bob": BOB, "carol": CAROL, "helen": HELEN, "agent": AGENT, "nobody": NOBODY}
DOCUMENTS = documents()


def name_of(metadata: dict[str, Any]) -> Any:
    """Pages have numbers, persons have names. A table has a column for each, which is null in the others."""
    return metadata["number"] if metadata.get("number") is not None else metadata["name"]


BY_NUMBER = {name_of(metadata): (text, metadata) for text, metadata in DOCUMENTS}

SERVED = {"pgvector": pgvector, "pgvectorstore": pgvectorstore}
NARROWED = {"in memory", "chroma", "lancedb of langchain_community", "qdrant", *SERVED}
"""The stores that are given the policy's filter. Milvus Lite takes no parameters in one, which Milvus does."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="module", params=[*IN_PROCESS, *SERVED])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, VectorStore]:
    name: str = request.param
    if name in SERVED:
        return name, SERVED[name](DOCUMENTS, request.getfixturevalue("address"))
    return name, IN_PROCESS[name](DOCUMENTS, tmp_path_factory.mktemp("store"))


def of(found: list[Document]) -> list[tuple[str, dict[str, Any]]]:
    """The documents of the tests that these are."""
    return [BY_NUMBER[name_of(document.metadata)] for document in found]


def check(request: dict[str, Any], query: str, k: int, found: list[Document]) -> None:
    """Asserts that these are the nearest that the person may read, and no more of them than that."""
    originals = of(found)
    assert all(allowed(request, metadata) for _, metadata in originals)
    near = [similarity(embed(query), embed(text)) for text, _ in originals]
    assert near == pytest.approx(best(request, query, k, DOCUMENTS), abs=1e-4)
    for document, (text, metadata) in zip(found, originals, strict=True):
        cleared = metadata["level"] <= request["subject"]["properties"]["clearance"]
        assert document.page_content == (text if cleared else "")
        assert "salary" not in document.metadata or document.metadata["salary"] is None
        assert cleared or SECRET not in repr(document)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("query", ["vacuum page", f"person {SECRET}", "the weather"])
def test_the_nearest_that_the_person_may_read(
    store: tuple[str, VectorStore], policy: tamis.Policy, person: str, query: str
) -> None:
    name, vectors = store
    request = PEOPLE[person]
    retriever = TamisRetriever(store=vectors, policy=policy, k=8, push_down=name != "milvus")
    for _ in range(2):
        found = retriever.search(query, request=tamis.Request(request))
        check(request, query, 8, [hit.item for hit in found.hits])
        assert found.complete
    if person == "bob" and query != "the weather":
        # Of all, he may read one in six, which is known by now.
        assert (found.denied == 0) == (name in NARROWED)


def test_the_same_without_the_filter_in_the_store_and_async(
    store: tuple[str, VectorStore], policy: tamis.Policy
) -> None:
    name, vectors = store
    if name == "pgvector":
        pytest.skip("a PGVector is either sync or async")
    retriever = TamisRetriever(store=vectors, policy=policy, k=8, push_down=False)

    async def search() -> list[Found[Document]]:
        people = [tamis.Request(request) for request in PEOPLE.values()]
        return await asyncio.gather(*(retriever.asearch("vacuum page", request=request) for request in people))

    for request, found in zip(PEOPLE.values(), asyncio.run(search()), strict=True):
        check(request, "vacuum page", 8, [hit.item for hit in found.hits])
        assert found.denied > 0


def test_pgvector_async(address: str, policy: tamis.Policy) -> None:
    from langchain_postgres import PGVector
    from langchain_stores import Words, as_documents

    async def search() -> list[Document]:
        vectors = PGVector(Words(), connection=address, collection_name="async", async_mode=True)
        await vectors.aadd_documents(as_documents(DOCUMENTS))
        retriever = TamisRetriever(store=vectors, policy=policy, k=8, request=tamis.Request(BOB))
        found = await retriever.ainvoke("vacuum page", filter={"number": {"$lt": 40}})
        await vectors._async_engine.dispose()
        return found

    found = asyncio.run(search())
    assert {document.metadata["number"] for document in found} == {0, 6, 12, 18, 24, 30, 36}


def test_a_policy_that_allows_everything_or_nothing(store: tuple[str, VectorStore]) -> None:
    _, vectors = store
    for source, count in [("permit(principal, action, resource);", 62), ("forbid(principal, action, resource);", 0)]:
        retriever = TamisRetriever(store=vectors, policy=tamis.Policy.compile(source), k=100)
        found = retriever.search("vacuum", request=tamis.Request(BOB))
        assert (len(found.hits), found.denied, found.complete) == (count, 0, True)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("in memory", lambda document: document.metadata.get("number", 99) < 20),
        ("chroma", {"number": {"$lt": 20}}),
        ("faiss", lambda metadata: metadata.get("number", 99) < 20),
        ("lancedb of langchain_community", "metadata.number < 20"),
        ("milvus", "number < 20"),
        ("qdrant", {"must": [{"key": "metadata.number", "range": {"lt": 20}}]}),
        ("pgvector", {"number": {"$lt": 20}}),
        ("pgvectorstore", {"number": {"$lt": 20}}),
    ],
)
@pytest.mark.parametrize("push_down", [True, False])
def test_filters_of_the_callers_own_narrow(
    name: str, own: Any, push_down: bool, policy: tamis.Policy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "milvus":
        push_down = False
    if name in SERVED:
        vectors = SERVED[name](DOCUMENTS, request.getfixturevalue("address"))
    else:
        vectors = IN_PROCESS[name](DOCUMENTS, tmp_path)
    bob = tamis.Request(BOB)
    retriever = TamisRetriever(store=vectors, policy=policy, k=50, request=bob, push_down=push_down)
    numbers = [document.metadata["number"] for document in retriever.invoke("page", filter=own)]
    assert sorted(numbers) == [0, 6, 12, 18]
    made_with = TamisRetriever(store=vectors, policy=policy, k=50, request=bob, filter=own, push_down=push_down)
    assert sorted(document.metadata["number"] for document in made_with.invoke("page")) == [0, 6, 12, 18]


@pytest.mark.parametrize("name", SERVED)
def test_postgres_takes_values_of_every_type(name: str, address: str) -> None:
    source = """permit(principal, action, resource)
        when { resource.level <= principal.most && resource.name like "p*" && resource.open && resource.groups.containsAny(principal.groups) };"""
    schema = """entity User { most: Long, groups: Set<String> };
        entity Chunk { level: Long, name: String, open: Bool, groups: Set<String> };
        action read appliesTo { principal: User, resource: Chunk, context: {} };"""
    policy = tamis.Policy.compile(source, schema=schema)
    odd = "it's :x %(y)s \\"
    most = 2**62
    made: Documents = [
        (
            f"text {number}",
            {"level": level, "name": name, "open": open_, "groups": groups, "tenant": "t", "number": number},
        )
        for number, (level, name, open_, groups) in enumerate(
            [
                (most, "p1", True, [odd]),
                (most + 1, "p2", True, [odd]),
                (0, "q3", True, [odd]),
                (0, "p4", False, [odd]),
                (0, "p5", True, ["x"]),
                (-most, "p%", True, ["x", odd]),
            ]
        )
    ]
    properties = {"most": most, "groups": [odd, "other"]}
    request = {"subject": {"type": "User", "id": "u", "properties": properties}, "action": {"name": "read"}}
    retriever = TamisRetriever(
        store=SERVED[name](made, address),
        policy=policy,
        k=2,
        request=tamis.Request(request),
        fields={"admitted": True},
        wide_first=False,
    )
    found = retriever.search("text")
    assert {hit.item.metadata["number"] for hit in found.hits} == {0, 5}
    assert (found.denied, found.exact) == (0, True)


def test_pgvectorstore_searching_for_words_too(address: str, policy: tamis.Policy) -> None:
    from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig

    store: Any = pgvectorstore(DOCUMENTS, address)
    store._PGVectorStore__vs.hybrid_search_config = HybridSearchConfig()
    retriever = TamisRetriever(store=store, policy=policy, k=20)
    for query in ("vacuum", f"ann {SECRET}"):
        found = retriever.search(query, request=tamis.Request(HELEN))
        # It gives no more than its configuration says, so that nobody knows whether these are all.
        assert 0 < len(found.hits) < 10
        assert not found.complete
        assert {hit.item.metadata["kind"] for hit in found.hits} == {"page"}


def test_pgvectorstore_ignores_what_is_no_dict(address: str, policy: tamis.Policy) -> None:
    retriever = TamisRetriever(store=pgvectorstore(DOCUMENTS, address), policy=policy, request=tamis.Request(BOB))
    with pytest.raises(tamis.InputError, match="dict"):
        retriever.invoke("vacuum", filter="number < 20")


def test_two_filters_of_the_callers_own_are_both_kept(policy: tamis.Policy, tmp_path: Path, address: str) -> None:
    for name, first, second in [
        ("in memory", lambda d: d.metadata.get("number", 99) < 20, lambda d: d.metadata.get("number", -1) > 5),
        ("chroma", {"number": {"$lt": 20}}, {"number": {"$gt": 5}}),
        ("pgvector", {"number": {"$lt": 20}}, {"number": {"$gt": 5}}),
        ("pgvectorstore", {"number": {"$lt": 20}}, {"number": {"$gt": 5}}),
        ("lancedb of langchain_community", "metadata.number < 20", "metadata.number > 5"),
        (
            "qdrant",
            {"must": [{"key": "metadata.number", "range": {"lt": 20}}]},
            {"must": [{"key": "metadata.number", "range": {"gt": 5}}]},
        ),
    ]:
        store = SERVED[name](DOCUMENTS, address) if name in SERVED else IN_PROCESS[name](DOCUMENTS, tmp_path)
        for push_down in (True, False):
            retriever = TamisRetriever(
                store=store,
                policy=policy,
                k=50,
                request=tamis.Request(BOB),
                filter=first,
                push_down=push_down,
            )
            numbers = sorted(document.metadata["number"] for document in retriever.invoke("page", filter=second))
            assert numbers == [6, 12, 18], (name, push_down)


def test_where_the_metadata_keeps_what_the_policy_reads(tmp_path: Path) -> None:
    """A policy with a record, an entity and folders, over stores whose fields have other names."""
    source = """
        permit(principal, action, resource in Folder::"shared") when { resource.owner.team == principal.team };
        @redact("owner") permit(principal, action, resource in Folder::"public");
    """
    made: Documents = []
    for number in range(40):
        folder = ("shared", "public", "private")[number % 3]
        team = ("red", "blue")[number % 2]
        metadata = {"owner_team": team, "in": [f'["Folder","{folder}"]'], "number": number, "own_id": f"n{number}"}
        made.append((f"note {number}", metadata))
    fields: dict[str, Any] = {
        "attributes": [{"attr": ["owner", "team"], "field": ["owner_team"]}],
        "ancestors": {"field": "in"},
    }
    request = tamis.Request(
        {"subject": {"type": "User", "id": "u", "properties": {"team": "red"}}, "action": {"name": "x"}}
    )
    expected = {number for number in range(40) if number % 3 == 1 or (number % 3 == 0 and number % 2 == 0)}
    for name in ("in memory", "chroma", "qdrant", "faiss", "lancedb of langchain_community"):
        if name == "lancedb of langchain_community":
            # It returns no ids, and a policy that asks what a chunk is in has to know which chunk it is.
            fields["id"] = {"field": "own_id"}
        store = IN_PROCESS[name](made, tmp_path)
        retriever = TamisRetriever(
            store=store, policy=tamis.Policy.compile(source), k=40, request=request, fields=fields
        )
        found = retriever.invoke("note")
        assert {document.metadata["number"] for document in found} == expected, name
        for document in found:
            is_redacted = document.metadata["number"] % 3 == 1
            assert ("owner_team" in document.metadata) != is_redacted, name


def test_what_a_search_reports(policy: tamis.Policy, tmp_path: Path) -> None:
    reports: list[Found[Document]] = []
    store = in_memory(DOCUMENTS, tmp_path)
    retriever = TamisRetriever(store=store, policy=policy, k=4, request=tamis.Request(BOB), report=reports.append)
    retriever.invoke("vacuum")
    retriever.invoke("vacuum")
    retriever.budget, retriever.push_down = 6, False
    assert retriever.invoke("vacuum") == []
    # So near to the question is nothing that he may read.
    assert [(len(found.hits), found.complete, found.examined, found.denied) for found in reports] == [
        (4, True, 36, 32),
        (4, True, 4, 0),
        (0, False, 6, 6),
    ]
    assert reports[0].generation == policy.generation


def test_unusual_arguments_are_refused(policy: tamis.Policy, tmp_path: Path) -> None:
    retriever = TamisRetriever(store=in_memory(DOCUMENTS, tmp_path), policy=policy, request=tamis.Request(BOB))
    for k in (0, -1, 10_001):
        with pytest.raises(tamis.InputError, match="k is"):
            retriever.invoke("vacuum", k=k)
    with pytest.raises(TypeError, match="filters"):
        retriever.invoke("vacuum", filters=None)
    retriever.search_kwargs = {"filter": None}
    with pytest.raises(tamis.InputError, match="search_kwargs has `filter`"):
        retriever.invoke("vacuum")


class TestStandardInMemory(RetrieversIntegrationTests):
    """LangChain's own."""

    make = staticmethod(in_memory)

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return TamisRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        store = self.make(DOCUMENTS, Path())
        return {"store": store, "policy": tamis.Policy.compile(POLICY), "request": tamis.Request(BOB)}

    @property
    def retriever_query_example(self) -> str:
        return "vacuum"


class TestStandardQdrant(TestStandardInMemory):
    make = staticmethod(qdrant)


class TestStandardToolUnit(ToolsUnitTests):
    """LangChain's own."""

    @property
    def tool_constructor(self) -> BaseTool:
        retriever = TamisRetriever(
            store=in_memory(DOCUMENTS, Path()), policy=tamis.Policy.compile(POLICY), request=tamis.Request(BOB)
        )
        return search_tool(retriever, "search", "Searches the manual.")

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "vacuum"}


class TestStandardTool(ToolsIntegrationTests):
    """LangChain's own."""

    tool_constructor = TestStandardToolUnit.tool_constructor
    tool_invoke_params_example = TestStandardToolUnit.tool_invoke_params_example
