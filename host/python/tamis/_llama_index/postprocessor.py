"""The filter gate for nodes that something else has retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from tamis._layout import Layout
from tamis._llama_index.gate import Gate, asking
from tamis._native import Policy, Request
from tamis._search import ANYTHING, NOTHING, Asks


class TamisPostprocessor(BaseNodePostprocessor):
    """Removes the nodes that the request may not read, and redacts the others.

    It comes last in a query engine's list, after postprocessors that fetch more nodes. What retrieved the nodes has shown them to instrumentation
    already, and too few may be left: `TamisRetriever` does better on both counts. `by_words` says that it may have found them by their words: then nodes
    from which anything is redacted are not handed out, since that they were found tells what is in them.
    """

    _policy: Policy = PrivateAttr()
    _request: Request | Mapping[str, Any] | None = PrivateAttr()
    _layout: Layout = PrivateAttr()
    _asks: Asks = PrivateAttr()

    def __init__(
        self,
        policy: Policy,
        *,
        request: Request | Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        by_words: bool = False,
    ) -> None:
        super().__init__()
        self._policy = policy
        self._request = request
        self._layout = Layout(fields)
        self._asks = ANYTHING if by_words else NOTHING

    @classmethod
    def class_name(cls) -> str:
        return "TamisPostprocessor"

    # These two, which LlamaIndex does not trace, and not what they usually call: a trace of that holds its arguments.
    def postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
    ) -> list[NodeWithScore]:
        """The nodes that may be handed out."""
        return Gate(asking(self._policy, self._request), self._layout).filter_scored(nodes, self._asks)

    async def apostprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
    ) -> list[NodeWithScore]:
        """The nodes that may be handed out."""
        return self.postprocess_nodes(nodes)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return self.postprocess_nodes(nodes)
