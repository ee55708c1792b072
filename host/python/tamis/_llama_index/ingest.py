"""The admit gate in an ingestion pipeline."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, TransformComponent

from tamis._layout import Layout
from tamis._llama_index.gate import asking
from tamis._native import Admission, Policy, Request

_log = logging.getLogger("tamis")

Refused = Callable[[Sequence[tuple[BaseNode, Admission | None]]], None]


class TamisAdmitGate(TransformComponent):
    """Lets those nodes on that the request may store, and whose attributes are there and of the types that the policy reads.

    The request is that of whoever loads: a subject with the action `index`. `refused` is given what was left out, with the reasons, or
    None where the metadata do not even make a chunk; without it their number is logged. A pipeline's cache never answers for the gate. Not for `num_workers`: a policy stays in its process.
    """

    _policy: Policy = PrivateAttr()
    _request: Request | Mapping[str, Any] | None = PrivateAttr()
    _layout: Layout = PrivateAttr()
    _refused: Refused | None = PrivateAttr()

    def __init__(
        self,
        policy: Policy,
        *,
        request: Request | Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        refused: Refused | None = None,
    ) -> None:
        super().__init__()
        self._policy = policy
        self._request = request
        self._layout = Layout(fields)
        self._refused = refused

    @classmethod
    def class_name(cls) -> str:
        return "TamisAdmitGate"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """The nodes that are admitted, as they are."""
        session = asking(self._policy, self._request)
        chunks = [self._layout.chunk(node.metadata, node.node_id) for node in nodes]
        admissions = iter(session.admit([chunk for chunk in chunks if chunk is not None]))
        judged = [
            (node, None if chunk is None else next(admissions)) for node, chunk in zip(nodes, chunks, strict=True)
        ]
        refused = [(node, admission) for node, admission in judged if admission is None or not admission.admitted]
        if refused and self._refused is not None:
            self._refused(refused)
        elif refused:
            _log.warning("the admit gate refused %d of %d nodes", len(refused), len(judged))
        return [node for node, admission in judged if admission is not None and admission.admitted]

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """What a pipeline's cache takes for the identity of this step: another one each time."""
        return {"class_name": self.class_name(), "call": uuid.uuid4().hex}

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("an TamisAdmitGate stays in its process: run the pipeline without num_workers")
