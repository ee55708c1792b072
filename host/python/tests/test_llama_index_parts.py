"""LlamaIndex: what retrievers expand to, fetch and hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext, SummaryIndex, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.indices.query.query_transform.base import IdentityQueryTransform
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RecursiveRetriever,
    RouterRetriever,
    TransformRetriever,
)
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores import SimpleVectorStore
from llama_stores import IN_PROCESS, Words, index, node, nodes
from llama_watch import QUERY, check, model, texts, watching

import tamis
from conftest import ALICE, BOB, HELEN, SECRET, allowed, embed
from tamis._layout import Layout
from tamis._llama_index.documents import GuardedDocuments
from tamis._llama_index.gate import Gate
from tamis.llama_index import TamisPostprocessor, TamisRetriever, TamisVectorStore

OPEN = {"tenant": "acme", "level": 0, "kind": "page", "agent_usable": True}
CLOSED = {"tenant": "globex", "level": 0, "kind": "page"}
PERSON = {"tenant": "acme", "level": 9, "kind": "person", "name": "ann", "salary": 4711}


class Given(BaseRetriever):
    """Retrieves what it was given."""

    def __init__(self, *given: TextNode, **more: Any) -> None:
        self._given = [NodeWithScore(node=made, score=1.0) for made in given]
        super().__init__(**more)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return list(self._given)


class Bare(TextNode):
    """A node whose ids may be anything."""


def secret(**more: Any) -> TextNode:
    return node(f"child {SECRET}", CLOSED, **more)


def stands_for(kind: str) -> Any:
    made = index(SimpleVectorStore())
    return {
        "node": secret,
        "scored node": lambda: NodeWithScore(node=secret(), score=0.5),
        "retriever": lambda: made.as_retriever(similarity_top_k=60),
        "query engine": lambda: made.as_query_engine(llm=model(f"answer {SECRET}"), similarity_top_k=60),
    }[kind]()


@pytest.mark.parametrize("kept", ["in the node", "in a map"])
@pytest.mark.parametrize("kind", ["node", "scored node", "retriever", "query engine"])
async def test_what_index_nodes_expand_to_is_gated(
    kind: str, kept: str, policy: tamis.Policy, caplog: pytest.LogCaptureFixture
) -> None:
    child = stands_for(kind)
    parent = node(
        "vacuum page summary", OPEN, IndexNode, index_id="child", obj=child if kept == "in the node" else None
    )
    if kept == "in the node":
        inner: BaseRetriever = Given(parent, node("vacuum page", OPEN))
    else:
        inner = index(SimpleVectorStore(), [parent, *nodes()]).as_retriever(similarity_top_k=12)
        inner.object_map = {"child": child}
    with watching(caplog) as watched:
        inner.callback_manager = CallbackManager([watched.callbacks])
        retriever = TamisRetriever(inner, policy, request=BOB)
        for found in (retriever.retrieve(QUERY), await retriever.aretrieve(QUERY)):
            check(found)
            index_nodes = [scored.node for scored in found if isinstance(scored.node, IndexNode)]
            assert bool(index_nodes) == (kind == "query engine")
            assert all(made.obj is None for made in index_nodes)
            if kind == "retriever":
                assert len(found) > 1
    assert SECRET not in watched.seen()
    assert "globex" not in watched.seen()
    assert SECRET in " ".join(texts(inner.retrieve(QUERY))), "without the gate it is there"


@pytest.mark.parametrize("kind", ["node", "retriever"])
async def test_a_guarded_store_alone_expands_nothing(kind: str, policy: tamis.Policy, tmp_path: Path) -> None:
    parent = node("vacuum page summary", OPEN, IndexNode, index_id="child")
    made = index(IN_PROCESS["qdrant"](tmp_path), [parent, *nodes()])
    made._object_map = {"child": stands_for(kind)}
    assert SECRET in " ".join(texts(made.as_retriever(similarity_top_k=1).retrieve("vacuum page summary")))
    made._vector_store = TamisVectorStore(made.vector_store, policy, request=BOB)
    for found in (
        made.as_retriever(similarity_top_k=5).retrieve("vacuum page summary"),
        await made.as_retriever(similarity_top_k=5).aretrieve("vacuum page summary"),
    ):
        check(found)
        assert found[0].node.node_id == parent.node_id
        assert not isinstance(found[0].node, IndexNode)


@pytest.mark.parametrize("kind", [IndexNode, ImageNode])
@pytest.mark.parametrize("wrapped", ["retriever", "store"])
def test_what_is_fetched_once_more_is_gated_and_redacted(
    kind: type[TextNode], wrapped: str, policy: tamis.Policy, tmp_path: Path
) -> None:
    """An index replaces nodes that are not plain text with what its document store has under their ids."""
    more: dict[str, Any] = {"index_id": "none"} if kind is IndexNode else {}
    person = node(f"person {SECRET}", PERSON, kind, **more)
    page = node("vacuum page", OPEN, kind, **more)
    made = index(IN_PROCESS["qdrant"](tmp_path), [person, page])
    # Somebody has put another node under the page's id.
    made.docstore.add_documents([node(f"other {SECRET}", CLOSED, kind, id_=page.node_id, **more)], allow_update=True)
    before = made.as_retriever(similarity_top_k=2).retrieve("person vacuum page")
    assert f"other {SECRET}" in texts(before)
    if wrapped == "retriever":
        found = TamisRetriever(made.as_retriever(similarity_top_k=2), policy, request=HELEN).retrieve(
            "person vacuum page"
        )
    else:
        made._vector_store = TamisVectorStore(made.vector_store, policy, request=HELEN)
        found = made.as_retriever(similarity_top_k=2).retrieve("person vacuum page")
        assert any(isinstance(scored.node, kind) for scored in found) == (kind is ImageNode)
    assert found
    for scored in found:
        assert allowed(HELEN, scored.node.metadata)
        assert "salary" not in scored.node.metadata
        assert SECRET not in scored.node.get_content()


def test_nodes_say_nothing_of_other_nodes(policy: tamis.Policy) -> None:
    """A node carries copies of the metadata of its document and its neighbours."""
    neighbour = secret()
    page = node("vacuum page", OPEN)
    page.relationships = {
        NodeRelationship.NEXT: neighbour.as_related_node_info(),
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata={"title": "merger"}, hash="abc"),
        NodeRelationship.CHILD: [neighbour.as_related_node_info()],
    }
    (found,) = TamisRetriever(Given(page), policy, request=BOB).retrieve(QUERY)
    assert found.node.next_node is not None
    assert found.node.next_node.node_id == neighbour.node_id
    assert found.node.ref_doc_id == "doc"
    assert "globex" not in repr(found.node.__dict__)
    assert "merger" not in repr(found.node.__dict__)
    assert found.node.next_node.hash is None
    assert "globex" in repr(page.__dict__), "the original is not changed"


async def test_ids_decide_nothing(policy: tamis.Policy) -> None:
    """Nodes with the same id, or none, are decided on one by one."""
    same = [
        node(f"child {SECRET}", CLOSED, id_="a"),
        node("vacuum page", OPEN, id_="a"),
        node(f"child {SECRET}", CLOSED, id_="a"),
    ]
    for made in (same, same[::-1]):
        retriever = TamisRetriever(Given(*made), policy, request=BOB)
        assert texts(retriever.retrieve(QUERY)) == texts(await retriever.aretrieve(QUERY)) == ["vacuum page"]
    nameless = [TextNode.model_construct(**{**one.__dict__, "id_": None}) for one in same]
    assert texts(TamisRetriever(Given(*nameless), policy, request=BOB).retrieve(QUERY)) == ["vacuum page"]


def fused(inner: BaseRetriever) -> BaseRetriever:
    return QueryFusionRetriever([inner, inner], llm=model(), num_queries=1, similarity_top_k=5, use_async=False)


def fused_async(inner: BaseRetriever) -> BaseRetriever:
    return QueryFusionRetriever(
        [inner, inner], llm=model("one\ntwo"), num_queries=3, similarity_top_k=5, use_async=True
    )


def routed(inner: BaseRetriever) -> BaseRetriever:
    selector = LLMSingleSelector.from_defaults(llm=model('[{"choice": 1, "reason": "x"}]'))
    return RouterRetriever(selector, [RetrieverTool.from_defaults(inner, description="pages")], llm=model())


def transformed(inner: BaseRetriever) -> BaseRetriever:
    return TransformRetriever(inner, IdentityQueryTransform())


def recursive(inner: BaseRetriever) -> BaseRetriever:
    return RecursiveRetriever("root", {"root": inner}, node_dict={"child": secret()})


@pytest.mark.parametrize("compose", [fused, fused_async, routed, transformed, recursive])
async def test_retrievers_in_retrievers(compose: Any, policy: tamis.Policy, caplog: pytest.LogCaptureFixture) -> None:
    made = index(SimpleVectorStore(), [node("vacuum page summary", OPEN, IndexNode, index_id="child"), *nodes()])
    composed = compose(made.as_retriever(similarity_top_k=5))
    assert SECRET in " ".join(texts(composed.retrieve(QUERY)))
    with watching(caplog) as watched:
        retriever = TamisRetriever(composed, policy, request=BOB)
        for found in (retriever.retrieve(QUERY), await retriever.aretrieve(QUERY)):
            check(found)
            # The index node stands for one that may not be read.
            assert len(found) == (4 if compose is recursive else 5)
    assert SECRET not in watched.seen()
    assert "globex" not in watched.seen()
    assert "globex" not in caplog.text


@pytest.mark.parametrize("parent", [OPEN, CLOSED])
async def test_parents_that_replace_their_children(
    parent: dict[str, Any], policy: tamis.Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """A merging retriever fetches parents from a document store, and writes them to the log."""
    above = node(f"parent {SECRET}" if parent is CLOSED else "parent page", parent, id_="parent")
    below = [node(f"vacuum page {number}", OPEN, id_=f"child{number}") for number in range(4)]
    above.relationships = {NodeRelationship.CHILD: [child.as_related_node_info() for child in below]}
    for child in below:
        child.relationships = {NodeRelationship.PARENT: above.as_related_node_info()}
    context = StorageContext.from_defaults(docstore=SimpleDocumentStore())
    context.docstore.add_documents([above, *below])
    made = VectorStoreIndex(below, storage_context=context, embed_model=Words())
    merging = AutoMergingRetriever(made.as_retriever(similarity_top_k=4), context)
    assert texts(merging.retrieve("vacuum page")) == [above.text]
    with watching(caplog) as watched:
        retriever = TamisRetriever(merging, policy, request=BOB)
        for found in (retriever.retrieve("vacuum page"), await retriever.aretrieve("vacuum page")):
            check(found)
            assert len(found) == (1 if parent is OPEN else 4)
    for place in (watched.seen(), caplog.text):
        assert SECRET not in place
        assert "globex" not in place


async def test_what_stands_for_a_denied_document_is_not_handed_out() -> None:
    """Not even by a policy that allows whatever it knows nothing of."""
    lenient = tamis.Policy.compile(
        'permit(principal, action, resource); forbid(principal, action, resource) when { resource has tenant && resource.tenant == "globex" };'
    )
    page, neighbour = node("vacuum page", {**OPEN, "more": 1}), secret()
    docstore = SimpleDocumentStore()
    docstore.add_documents([page, neighbour])
    gate = Gate(lenient.session(BOB), Layout())
    documents = GuardedDocuments(docstore, gate)
    for denied in (documents.get_document(neighbour.node_id), await documents.aget_document(neighbour.node_id)):
        assert denied.get_content() == ""
        assert denied.metadata == {}
        assert gate.filter([denied]) == [None]
    assert documents.get_nodes([page.node_id, neighbour.node_id]) == await documents.aget_nodes([page.node_id])
    assert documents.get_node_dict({0: page.node_id, 1: neighbour.node_id}).keys() == {0}
    assert documents.get_node(neighbour.node_id, raise_error=False) is None
    with pytest.raises(ValueError, match="not found"):
        documents.get_node(neighbour.node_id)
    assert gate.filter([TextNode(text="")]) != [None], "which one that stands for nothing is"


def test_retrievers_whose_models_read_first_are_refused(policy: tamis.Policy) -> None:
    made = index(SimpleVectorStore())
    engine = made.as_query_engine(llm=model())
    with pytest.raises(tamis.InputError, match="query engine"):
        TamisRetriever(RecursiveRetriever("root", {"root": made.as_retriever()}, {"child": engine}), policy)
    choosing = SummaryIndex(nodes(), embed_model=Words()).as_retriever(retriever_mode="llm", llm=model())
    with pytest.raises(tamis.InputError, match="to a model"):
        TamisRetriever(choosing, policy)
    all_of_it = SummaryIndex(nodes()).as_retriever(retriever_mode="default")
    check(TamisRetriever(all_of_it, policy, request=BOB).retrieve(QUERY))


async def test_an_inner_gate_is_not_loosened_by_an_outer_one(policy: tamis.Policy) -> None:
    made = index(SimpleVectorStore())
    everything = tamis.Policy.compile("permit(principal, action, resource);")
    guarded_store = TamisVectorStore(made.vector_store, policy, request=BOB, docstore=made.docstore)
    for inner in (
        TamisRetriever(made.as_retriever(similarity_top_k=5), policy, request=BOB),
        TamisRetriever(fused(made.as_retriever(similarity_top_k=5)), policy, request=BOB),
    ):
        for outer in (
            TamisRetriever(transformed(inner), everything, request=BOB),
            TamisRetriever(transformed(inner), policy, request=ALICE),
        ):
            check(outer.retrieve(QUERY))
            check(await outer.aretrieve(QUERY))
    made._vector_store = guarded_store
    check(TamisRetriever(made.as_retriever(similarity_top_k=5), everything, request=BOB).retrieve(QUERY))


async def test_gates_in_gates_agree(policy: tamis.Policy) -> None:
    """What an inner gate has redacted is not denied by the outer one for what it lacks."""
    needs = tamis.Policy.compile(
        '@redact("salary") permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.salary > 0 };'
    )
    made = index(SimpleVectorStore())
    made._vector_store = TamisVectorStore(made.vector_store, needs, docstore=made.docstore)
    retriever = TamisRetriever(transformed(TamisRetriever(made.as_retriever(similarity_top_k=5), needs)), needs)
    with tamis.acting(HELEN):
        for found in (retriever.retrieve("person"), await retriever.aretrieve("person")):
            assert sorted(scored.node.metadata["name"] for scored in found) == ["ann", "ben"]
            assert all("salary" not in scored.node.metadata for scored in found)


def test_a_generation_decides_on_a_whole_call() -> None:
    """A policy that is replaced in the middle of a call decides on none of it."""
    policy = tamis.Policy.compile('permit(principal, action, resource) when { resource.kind == "page" };')
    inner = index(SimpleVectorStore()).as_retriever(similarity_top_k=3)
    child = Swapping(inner, policy)
    parent = node("vacuum page summary", OPEN, IndexNode, index_id="child", obj=child)
    retriever = TamisRetriever(Given(parent, node("x", OPEN)), policy, request=BOB)
    assert len(retriever.retrieve(QUERY)) == 4
    assert retriever.retrieve(QUERY) == []


class Swapping(BaseRetriever):
    def __init__(self, inner: BaseRetriever, policy: tamis.Policy) -> None:
        self._inner = inner
        self._policy = [policy]
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self._policy[0].replace(tamis.Policy.compile("forbid(principal, action, resource);"))
        return self._inner.retrieve(query_bundle)


def test_the_client_is_not_handed_out(policy: tamis.Policy, tmp_path: Path) -> None:
    store = TamisVectorStore(IN_PROCESS["qdrant"](tmp_path), policy)
    with pytest.raises(tamis.Error, match="client"):
        _ = store.client


def test_a_store_without_nodes_says_what_it_lacks(policy: tamis.Policy) -> None:
    made = index(SimpleVectorStore())
    made._vector_store = TamisVectorStore(made.vector_store, policy, request=BOB)
    with pytest.raises(tamis.InputError, match="docstore="):
        made.as_retriever().retrieve(QUERY)


def test_what_was_found_by_a_redacted_word_is_not_handed_out(policy: tamis.Policy) -> None:
    from llama_index.core import SimpleKeywordTableIndex
    from llama_index.retrievers.bm25 import BM25Retriever  # type: ignore[import-untyped]

    index_of_words = SimpleKeywordTableIndex(nodes(), llm=model(), max_keywords_per_chunk=100)
    table = index_of_words.as_retriever(num_chunks_per_query=100)
    bm25 = BM25Retriever.from_defaults(nodes=nodes(), similarity_top_k=60)
    for inner in (bm25, table):
        check(TamisRetriever(inner, policy, request=BOB).retrieve("weather page"))
        found = TamisRetriever(inner, policy, request=HELEN).retrieve(f"person {SECRET}")
        assert "person" not in {scored.node.metadata["kind"] for scored in found}
        fused_found = TamisRetriever(fused(inner), policy, request=HELEN).retrieve(f"person {SECRET}")
        assert "person" not in {scored.node.metadata["kind"] for scored in fused_found}
        by_meaning = TamisRetriever(inner, policy, request=HELEN, by_words=False).retrieve(f"person {SECRET}")
        assert "person" in {scored.node.metadata["kind"] for scored in by_meaning}
        assert SECRET not in " ".join(texts(by_meaning))


async def test_a_postprocessor_comes_after_what_fetches_more(policy: tamis.Policy) -> None:
    from llama_index.core.postprocessor import PrevNextNodePostprocessor

    page, neighbour = node("vacuum page", OPEN), secret()
    page.relationships = {NodeRelationship.NEXT: neighbour.as_related_node_info()}
    docstore = SimpleDocumentStore()
    docstore.add_documents([page, neighbour])
    more = PrevNextNodePostprocessor(docstore=docstore, num_nodes=1, mode="next")
    fetched = more.postprocess_nodes([NodeWithScore(node=page, score=1.0)])
    assert SECRET in " ".join(texts(fetched))
    gate = TamisPostprocessor(policy, request=BOB)
    assert texts(gate.postprocess_nodes(fetched)) == texts(await gate.apostprocess_nodes(fetched)) == ["vacuum page"]
    people = [NodeWithScore(node=node("person", PERSON), score=1.0)]
    assert len(TamisPostprocessor(policy, request=HELEN).postprocess_nodes(people)) == 1
    assert TamisPostprocessor(policy, request=HELEN, by_words=True).postprocess_nodes(people) == []


async def test_identity_in_the_arguments_of_a_tool_changes_nothing(policy: tamis.Policy) -> None:
    inner = index(SimpleVectorStore()).as_retriever(similarity_top_k=5)
    tool = RetrieverTool.from_defaults(TamisRetriever(inner, policy), description="pages")
    arguments: dict[str, Any] = {"subject": "alice", "request": ALICE, "policy": "permit(principal, action, resource);"}
    with pytest.raises(tamis.NoRequestError):
        tool.call(QUERY, **arguments)
    with tamis.acting(BOB):
        for output in (tool.call(QUERY, **arguments), await tool.acall(QUERY, **arguments)):
            check(output.raw_output)
            assert "vacuum page" in str(output)
            assert SECRET not in str(output)


def test_embed_is_what_the_stores_use() -> None:
    assert Words().get_text_embedding("vacuum") == embed("vacuum")
