"""One call's gate: nodes go in, and copies that may be handed out come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    Node,
    NodeWithScore,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from tamis._chunk import Chunk
from tamis._context import current_request
from tamis._layout import Layout
from tamis._native import Decision, Policy, Request, Session
from tamis._search import NOTHING, Asks, decide


def asking(policy: Policy, request: Request | Mapping[str, Any] | None) -> Session:
    """A session for the given request, or the current one.

    Raises `NoRequestError` if there is neither.
    """
    return policy.session(current_request() if request is None else request)


class Gate:
    """Decides on nodes for one call, all by one generation of the policy.

    It knows the nodes that it has handed out, as objects and never by id, so that what passes through several retrievers is decided on once, before
    anything was redacted from it.
    """

    def __init__(self, session: Session, layout: Layout) -> None:
        self.session = session
        self.layout = layout
        self._released: dict[int, BaseNode] = {}
        self._refused: dict[int, BaseNode] = {}
        self._partly: dict[int, BaseNode] = {}
        self._children: dict[int, Any] = {}

    def chunk(self, node: BaseNode) -> Chunk | None:
        """A node as the policy sees it."""
        return self.layout.chunk(node.metadata, node.node_id)

    def filter(self, nodes: Sequence[BaseNode], asks: Asks = NOTHING) -> list[BaseNode | None]:
        """For each node what may be handed out of it, or None."""
        unknown = [node for node in nodes if not self._knows(node)]
        decisions = iter(decide(self.session, [self.chunk(node) for node in unknown]))
        return [
            self._known(node, asks) if self._knows(node) else self._decided(node, next(decisions), asks)
            for node in nodes
        ]

    def filter_scored(self, nodes: Sequence[NodeWithScore], asks: Asks = NOTHING) -> list[NodeWithScore]:
        """What may be handed out of these, in their order. How near a redacted one is would tell what its embedding was made of."""
        kept = self.filter([scored.node for scored in nodes], asks)
        return [
            NodeWithScore(node=node, score=None if self.is_partly(node) else scored.score)
            for scored, node in zip(nodes, kept, strict=True)
            if node is not None
        ]

    def release(self, node: BaseNode, decision: Decision) -> BaseNode:
        """A copy of an allowed node, without what the decision redacts, and without other nodes."""
        released = self.remember(strip(node, self.layout.visible(node.metadata, decision), decision))
        if decision.redacted or decision.redacts_text:
            self._partly[id(released)] = released
        if isinstance(node, IndexNode) and node.obj is not None:
            self._children[id(released)] = node.obj
        return released

    def is_partly(self, released: BaseNode) -> bool:
        """Whether something was redacted from a node that was handed out."""
        return self._partly.get(id(released)) is released

    def remember(self, released: BaseNode) -> BaseNode:
        """The same node, which may be handed out as it is."""
        self._released[id(released)] = released
        return released

    def child(self, released: BaseNode) -> Any:
        """The object that an index node stood for before it was handed out."""
        return self._children.get(id(released))

    def refuse(self, node: BaseNode) -> BaseNode:
        """The same node, which is never to be handed out."""
        self._refused[id(node)] = node
        return node

    def _knows(self, node: BaseNode) -> bool:
        return self._released.get(id(node)) is node or self._refused.get(id(node)) is node

    def _known(self, node: BaseNode, asks: Asks) -> BaseNode | None:
        if asks.attributes is None and id(node) in self._partly:
            return None
        return self._released.get(id(node))

    def _decided(self, node: BaseNode, decision: Decision | None, asks: Asks) -> BaseNode | None:
        if decision is None or not decision.allow or asks.reveals(decision):
            return None
        return self.release(node, decision)


def strip(node: BaseNode, metadata: dict[str, Any], decision: Decision) -> BaseNode:
    """A copy of a node with this metadata, without what is redacted, and without what it holds of other nodes."""
    relationships = {
        kind: [_bare(other) for other in related] if isinstance(related, list) else _bare(related)
        for kind, related in node.relationships.items()
    }
    if decision.redacts_text:
        # Only what is known to hold nothing of the text: kinds of nodes differ in where they keep it.
        return _plain(node, "", metadata, relationships)
    changes: dict[str, Any] = {"metadata": metadata, "relationships": relationships}
    if decision.redacted:
        # Embeddings are made of the metadata too.
        changes |= {"embedding": None, **_left_out(node, metadata)}
    if isinstance(node, IndexNode):
        changes["obj"] = None
    return node.model_copy(update=changes)


def _bare(other: RelatedNodeInfo) -> RelatedNodeInfo:
    return RelatedNodeInfo(node_id=other.node_id, node_type=other.node_type)


class _SettledImage(ImageNode):
    @classmethod
    def get_type(cls) -> str:
        return ObjectType.TEXT


class _SettledNode(Node):
    @classmethod
    def get_type(cls) -> str:
        return ObjectType.TEXT


def settled(node: BaseNode) -> BaseNode:
    """The same node in a form that an index takes as it is.

    An index expands index nodes, and fetches every node that is not plain text from its document store once more, after the gate.
    """
    if node.get_type() == ObjectType.TEXT:
        return node
    if isinstance(node, ImageNode):
        return _SettledImage.model_construct(node.model_fields_set, **node.__dict__)
    if type(node) is Node:
        return _SettledNode.model_construct(node.model_fields_set, **node.__dict__)
    return _plain(node, node.get_content(), node.metadata, node.relationships)


def _left_out(node: BaseNode, metadata: dict[str, Any]) -> dict[str, list[str]]:
    """What a node leaves out of prompts and embeddings, without the names of what it no longer has."""
    return {
        "excluded_embed_metadata_keys": [name for name in node.excluded_embed_metadata_keys if name in metadata],
        "excluded_llm_metadata_keys": [name for name in node.excluded_llm_metadata_keys if name in metadata],
    }


def _plain(node: BaseNode, text: str, metadata: dict[str, Any], relationships: dict[Any, Any]) -> TextNode:
    return TextNode(
        id_=node.node_id, text=text, metadata=metadata, relationships=relationships, **_left_out(node, metadata)
    )
