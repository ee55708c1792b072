"""LlamaIndex behind the gates.

    retriever = TamisRetriever(index.as_retriever(similarity_top_k=5), policy)
    with tamis.acting({"subject": {"type": "User", "id": "alice"}, "action": {"name": "retrieve"}}):
        nodes = retriever.retrieve("How do I vacuum?")

| | guards |
|---|---|
| `TamisRetriever` | a retriever and all that it holds: its stores, other retrievers, the nodes that index nodes expand to. Start with this one. |
| `TamisVectorStore` | a vector store, so that whatever an index makes of it is guarded: `as_retriever`, `as_query_engine`, `as_chat_engine` |
| `TamisPostprocessor` | nodes that something else has retrieved; last in the list, after whatever fetches more nodes |
| `TamisAdmitGate` | what an ingestion pipeline stores; after the metadata extractors, before the embedding |

Who asks is the `request` of the constructor or that of `tamis.acting`. Without one `NoRequestError` is raised, and nothing is searched. Filters of the
caller, a model's among them, only narrow what the policy allows. Instrumentation, callbacks and logs see nodes after the gate.

A node's attributes are its `metadata`, its id is its `node_id`; `fields=` says otherwise, as in `Rewrite.to`. What the policy redacts is removed from a copy of the node.
The metadata of *other* nodes that a node carries in its relationships is removed as well, since nothing has decided about those nodes.

Not guarded: an index's `docstore` and the wrapped store where they are asked directly; what a retriever of your own reports or shows to a model by itself;
text of neighbours that a node parser has put into a node's metadata. `index.as_retriever(node_postprocessors=[…])` ignores what it is given: that is
LlamaIndex's, and guards nothing.
"""

from __future__ import annotations

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise ImportError('LlamaIndex is missing: pip install "tamis[llama-index]"') from error

from tamis._llama_index.ingest import TamisAdmitGate
from tamis._llama_index.postprocessor import TamisPostprocessor
from tamis._llama_index.retriever import TamisRetriever
from tamis._llama_index.store import TamisVectorStore

__all__ = ["TamisAdmitGate", "TamisPostprocessor", "TamisRetriever", "TamisVectorStore"]
