"""A document store inside of a retriever: what it fetches there passes the same gate."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore.types import BaseDocumentStore

from tamis._llama_index.gate import Gate

_MANY = 1000
"""So many children, of which few are ever found, that a merging retriever keeps those that it has found."""


class GuardedDocuments:
    """The reading half of a document store. What is denied is not there."""

    def __init__(self, store: BaseDocumentStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def get_nodes(self, node_ids: list[str], raise_error: bool = True) -> list[BaseNode]:
        """Those that there are."""
        return self._readable(self._store.get_nodes(node_ids, raise_error=False))

    async def aget_nodes(self, node_ids: list[str], raise_error: bool = True) -> list[BaseNode]:
        """Those that there are."""
        return self._readable(await self._store.aget_nodes(node_ids, raise_error=False))

    def get_node_dict(self, node_id_dict: dict[int, str]) -> dict[int, BaseNode]:
        """Those that there are."""
        found = {node.node_id: node for node in self.get_nodes(list(node_id_dict.values()))}
        return {place: found[name] for place, name in node_id_dict.items() if name in found}

    async def aget_node_dict(self, node_id_dict: dict[int, str]) -> dict[int, BaseNode]:
        """Those that there are."""
        found = {node.node_id: node for node in await self.aget_nodes(list(node_id_dict.values()))}
        return {place: found[name] for place, name in node_id_dict.items() if name in found}

    def get_node(self, node_id: str, raise_error: bool = True) -> BaseNode | None:
        """The node, if there is one."""
        return self._one(self.get_nodes([node_id]), node_id, raise_error)

    async def aget_node(self, node_id: str, raise_error: bool = True) -> BaseNode | None:
        """The node, if there is one."""
        return self._one(await self.aget_nodes([node_id]), node_id, raise_error)

    def get_document(self, doc_id: str, raise_error: bool = True) -> BaseNode:
        """The node, or an empty one that will not be handed out. What asks for a document takes it for granted that there is one."""
        return next(iter(self.get_nodes([doc_id])), None) or self._gate.refuse(_nothing(doc_id))

    async def aget_document(self, doc_id: str, raise_error: bool = True) -> BaseNode:
        """The node, or an empty one that will not be handed out."""
        return next(iter(await self.aget_nodes([doc_id])), None) or self._gate.refuse(_nothing(doc_id))

    def _readable(self, nodes: Sequence[BaseNode]) -> list[BaseNode]:
        return [node for node in self._gate.filter(nodes) if node is not None]

    def _one(self, nodes: list[BaseNode], node_id: str, raise_error: bool) -> BaseNode | None:
        if not nodes and raise_error:
            raise ValueError(f"node_id {node_id} not found.")
        return nodes[0] if nodes else None


def _nothing(node_id: str) -> TextNode:
    children = [RelatedNodeInfo(node_id=f"{node_id}/{number}") for number in range(_MANY)]
    return TextNode(id_=node_id, text="", relationships={NodeRelationship.CHILD: children})
