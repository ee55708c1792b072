"""What a vector store answers with, position by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import VectorStoreQueryResult

from tamis._errors import HostError

Names = Callable[[str], str]


def same(name: str) -> str:
    """The name of a node in a document store, where it is the vector store's id."""
    return name


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a store returned at one position. Without a node there is nothing to decide on."""

    node: BaseNode | None
    id: str | None
    similarity: float | None


def candidates(found: VectorStoreQueryResult) -> list[Candidate]:
    """The candidates of an answer, those of a store that keeps no nodes without.

    Raises `HostError` for an answer whose parts do not belong together.
    """
    nodes, ids, similarities = found.nodes, found.ids, found.similarities
    count = len(nodes) if nodes else len(ids or [])
    for part in (ids, similarities):
        # A wrong pairing could hand out one node for another.
        if part and len(part) != count:
            raise HostError(f"the store returned {count} nodes with {len(part)} ids or similarities")
    return [
        Candidate(
            node=nodes[place] if nodes else None,
            id=str(ids[place]) if ids else None,
            similarity=similarities[place] if similarities else None,
        )
        for place in range(count)
    ]


def with_nodes(found: Sequence[Candidate], names: Sequence[str], nodes: Sequence[BaseNode]) -> list[Candidate]:
    """The same with their nodes, found under their names in a document store. One that is not there stays without."""
    by_name = {node.node_id: node for node in nodes}
    return [
        Candidate(by_name.get(name), candidate.id, candidate.similarity)
        for candidate, name in zip(found, names, strict=True)
    ]
