"""LlamaIndex over real vector stores: whoever asks gets the best that they may read, k of them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeWithScore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_stores import IN_PROCESS, index, node, pgvector, postgres_socket

import tamis
from conftest import AGENT, ALICE, BOB, CAROL, HELEN, NOBODY, SECRET, allowed, best, documents, embed, similarity
from tamis.llama_index import TamisRetriever, TamisVectorStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = f"vacuum {SECRET}"
PEOPLE = {"alice": ALICE, "bob": BOB, "carol": CAROL, "helen": HELEN, "agent": AGENT}


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with postgres_socket() as found:
        yield found


@pytest.fixture(scope="module", params=[*IN_PROCESS, "pgvector"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VectorStoreIndex:
    if request.param == "pgvector":
        return index(pgvector(request.getfixturevalue("socket")))
    return index(IN_PROCESS[request.param](tmp_path_factory.mktemp(request.param)))


def judge(found: list[NodeWithScore], who: dict[str, Any], k: int, query: str = QUERY) -> None:
    """Exactly the k best, as near as they really are."""
    text_of = {metadata.get("name", metadata.get("number")): text for text, metadata in documents()}
    near = []
    for scored in found:
        metadata = dict(scored.node.metadata)
        key = metadata.get("name", metadata.get("number"))
        assert allowed(who, metadata), metadata
        near.append(similarity(embed(query), embed(text_of[key])))
        if metadata["kind"] == "person" and who is HELEN:
            assert "salary" not in metadata
            assert scored.node.get_content() == ""
        else:
            assert scored.node.get_content() == text_of[key]
    assert near == pytest.approx(best(who, query, k, documents()), abs=1e-5)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("admitted", [False, True])
async def test_retriever(made: VectorStoreIndex, policy: tamis.Policy, who: str, admitted: bool) -> None:
    request = PEOPLE[who]
    retriever = TamisRetriever(
        made.as_retriever(similarity_top_k=5), policy, request=request, fields={"admitted": admitted}
    )
    judge(retriever.retrieve(QUERY), request, 5)
    judge(await retriever.aretrieve(QUERY), request, 5)


@pytest.mark.parametrize("who", PEOPLE)
async def test_store_in_an_index(made: VectorStoreIndex, policy: tamis.Policy, who: str) -> None:
    if type(made.vector_store).__name__ == "FaissVectorStore":
        pytest.skip("its ids are numbers of rows, which only the index knows")
    store = TamisVectorStore(
        made.vector_store, policy, docstore=None if made.vector_store.stores_text else made.docstore
    )
    guarded = (
        VectorStoreIndex.from_vector_store(store, made._embed_model) if store.stores_text else rewired(made, store)
    )
    retriever = guarded.as_retriever(similarity_top_k=5)
    with tamis.acting(PEOPLE[who]):
        judge(retriever.retrieve(QUERY), PEOPLE[who], 5)
        judge(await retriever.aretrieve(QUERY), PEOPLE[who], 5)


def rewired(made: VectorStoreIndex, store: TamisVectorStore) -> VectorStoreIndex:
    from llama_index.core import StorageContext

    context = StorageContext.from_defaults(vector_store=store, docstore=made.docstore)
    return VectorStoreIndex(index_struct=made.index_struct, storage_context=context, embed_model=made._embed_model)


async def test_k_beyond_what_there_is(made: VectorStoreIndex, policy: tamis.Policy) -> None:
    retriever = TamisRetriever(made.as_retriever(similarity_top_k=50), policy, request=BOB)
    count = sum(allowed(BOB, metadata) for _, metadata in documents())
    assert 0 < count < 50
    judge(retriever.retrieve(QUERY), BOB, count)
    judge(await retriever.aretrieve(QUERY), BOB, count)


class Asked(BasePydanticVectorStore):
    """Passes queries on, and counts them."""

    stores_text: bool = True
    inner: Any
    asked: list[VectorStoreQuery]

    @property
    def client(self) -> Any:
        return None

    def add(self, nodes: Any, **kwargs: Any) -> list[str]:
        raise NotImplementedError

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        raise NotImplementedError

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> Any:
        self.asked.append(query)
        return self.inner.query(query, **kwargs)


async def test_never_is_no_search(policy: tamis.Policy, tmp_path: Path) -> None:
    forbids = tamis.Policy.compile('permit(principal in Group::"none", action, resource);')
    store = Asked(inner=IN_PROCESS["chroma"](tmp_path), asked=[])
    guarded = TamisVectorStore(store, forbids, request=NOBODY)
    query = VectorStoreQuery(embed(QUERY), similarity_top_k=3)
    assert guarded.query(query).nodes == (await guarded.aquery(query)).nodes == []
    assert guarded.get_nodes() == await guarded.aget_nodes() == []
    assert store.asked == []


def only(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


FILTERS: dict[str, tuple[MetadataFilters, Callable[[dict[str, Any]], bool]]] = {
    "empty": (MetadataFilters(filters=[]), lambda metadata: True),
    "empty or": (MetadataFilters(filters=[], condition="or"), lambda metadata: True),
    "another tenant": (only("tenant", "globex"), lambda metadata: metadata["tenant"] == "globex"),
    "level": (only("level", 2), lambda metadata: metadata["level"] == 2),
    "a tautology": (
        MetadataFilters(
            filters=[only("tenant", "acme").filters[0], only("tenant", "globex").filters[0]], condition="or"
        ),
        lambda metadata: True,
    ),
    "number": (only("number", 12, FilterOperator.GTE), lambda metadata: metadata.get("number", -1) >= 12),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_of_the_caller_narrows(made: VectorStoreIndex, policy: tamis.Policy, name: str) -> None:
    filters, matches = FILTERS[name]
    kind = type(made.vector_store).__name__
    if kind == "FaissVectorStore":
        pytest.skip("the store takes no such filters")
    retriever = TamisRetriever(made.as_retriever(similarity_top_k=5, filters=filters), policy, request=BOB)
    wanted = [(text, metadata) for text, metadata in documents() if matches(metadata)]
    near = best(BOB, QUERY, 5, wanted)
    for found in (retriever.retrieve(QUERY), await retriever.aretrieve(QUERY)):
        assert all(allowed(BOB, scored.node.metadata) and matches(scored.node.metadata) for scored in found)
        assert len(found) == len(near)


async def test_the_filter_is_pushed_down(tmp_path: Path, socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a search for a person's few chunks among many looks at few."""
    schema = """
        entity User { tenant: String, clearance: Long };
        entity Chunk { tenant: String };
        action retrieve appliesTo { principal: [User], resource: [Chunk], context: {} };
    """
    rule = "permit(principal, action, resource) when { resource.tenant == principal.tenant };"
    simple_policy = tamis.Policy.compile(rule, schema=schema)
    for name, store in {
        "qdrant": IN_PROCESS["qdrant"](tmp_path),
        "chroma": IN_PROCESS["chroma"](tmp_path),
        "lancedb": IN_PROCESS["lancedb"](tmp_path),
        "pgvector": pgvector(socket),
    }.items():
        index(store)
        counted = Counted(type(store).query)
        monkeypatch.setattr(type(store), "query", lambda *args, counted=counted, **kwargs: counted(*args, **kwargs))
        guarded = TamisVectorStore(store, simple_policy, request=CAROL, fields={"admitted": True})
        query = VectorStoreQuery(embed("weather"), similarity_top_k=5)
        assert len(guarded.query(query).nodes or []) == 5
        seen = [node.metadata["tenant"] for found in counted.found for node in found.nodes or []]
        assert set(seen) == {"globex"}, name
        guarded._push = False
        counted.found.clear()
        assert len(guarded.query(query).nodes or []) == 5
        assert {node.metadata["tenant"] for found in counted.found for node in found.nodes or []} == {
            "acme",
            "globex",
        }, name


async def test_lists_are_asked_for(tmp_path: Path, socket: str) -> None:
    """One of several, in a list of the metadata: each store has its own way, and one that lacks it is not asked."""
    some = tamis.Policy.compile(
        "permit(principal, action, resource) when { resource.readers.containsAny(principal.teams) };"
    )
    request = {
        "subject": {"type": "User", "id": "a", "properties": {"teams": ["x", "z"]}},
        "action": {"name": "retrieve"},
    }
    made = [node(f"page {readers}", {"readers": readers}) for readers in (["x"], ["y"], ["y", "z"], [])]
    for store in (IN_PROCESS["qdrant"](tmp_path), pgvector(socket)):
        filled = index(store, [*made]).vector_store
        guarded = TamisVectorStore(filled, some, request=request)
        query = VectorStoreQuery(embed("page"), similarity_top_k=5)
        ids = [one.node_id for one in made]
        for found in (
            guarded.query(query).nodes,
            (await guarded.aquery(query)).nodes,
            guarded.get_nodes(ids),
            await guarded.aget_nodes(ids),
        ):
            assert sorted(one.metadata["readers"] for one in found or []) == [["x"], ["y", "z"]]


async def test_a_column_that_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    some = tamis.Policy.compile(
        "permit(principal, action, resource) unless { resource has secret && resource.secret };"
    )
    store = TamisVectorStore(index(IN_PROCESS["lancedb"](tmp_path)).vector_store, some, request=BOB)
    assert len(store.query(VectorStoreQuery(embed(QUERY), similarity_top_k=5)).nodes or []) == 5


class Counted:
    """A method, and what it returned."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.found: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.found.append(self._method(*args, **kwargs))
        return self.found[-1]


async def test_get_nodes(made: VectorStoreIndex, policy: tamis.Policy) -> None:
    store = TamisVectorStore(made.vector_store, policy, request=BOB)
    kind = type(made.vector_store).__name__
    if kind in ("FaissVectorStore", "SimpleVectorStore"):
        with pytest.raises(NotImplementedError):
            store.get_nodes(["x"])
        return
    everything = made.vector_store.get_nodes(None, only("level", -1, FilterOperator.GT))
    assert {node.metadata["tenant"] for node in everything} == {"acme", "globex"}
    wanted = sorted(node.node_id for node in everything if allowed(BOB, node.metadata))
    ids = [node.node_id for node in everything]
    by_filter = {"filters": only("level", -1, FilterOperator.GT)}
    # LanceDB's own `get_nodes` fails when it is given ids.
    calls = (
        [by_filter] if kind == "LanceDBVectorStore" else [by_filter, {"node_ids": ids}, {"node_ids": ids, **by_filter}]
    )
    for arguments in calls:
        assert sorted(node.node_id for node in store.get_nodes(**arguments)) == wanted, arguments.keys()
        assert sorted(node.node_id for node in await store.aget_nodes(**arguments)) == wanted
