"""Vector stores of LlamaIndex with the documents of the tests in them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import BasePydanticVectorStore

from conftest import DIMENSIONS, documents, embed

ENGINES = Path(__file__).parents[3] / "tests" / "engines"


class Words(BaseEmbedding):
    """The embedding of the tests, as LlamaIndex takes it."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return embed(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return embed(text)


def node(text: str, metadata: dict[str, Any], kind: type[TextNode] = TextNode, **more: Any) -> TextNode:
    """A node that is embedded by its text alone."""
    return kind(text=text, metadata=dict(metadata), excluded_embed_metadata_keys=list(metadata), **more)


def nodes() -> list[BaseNode]:
    return [node(text, metadata) for text, metadata in documents()]


def simple(_: Path) -> BasePydanticVectorStore:
    return SimpleVectorStore()


def chroma(_: Path) -> BasePydanticVectorStore:
    import chromadb
    from chromadb.config import Settings
    from llama_index.vector_stores.chroma import ChromaVectorStore

    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    # So wide that a graph of some sixty nodes is searched whole.
    space = {"hnsw:space": "cosine", "hnsw:search_ef": 500, "hnsw:construction_ef": 500, "hnsw:M": 64}
    return ChromaVectorStore(client.create_collection(f"c{uuid.uuid4().hex}", metadata=space, embedding_function=None))


def qdrant(_: Path) -> BasePydanticVectorStore:
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import AsyncQdrantClient, QdrantClient

    client = QdrantClient(":memory:")
    aclient = AsyncQdrantClient(":memory:")
    # Both clients over the one collection.
    aclient._client.collections = client._client.collections  # type: ignore[attr-defined]
    return QdrantVectorStore("documents", client=client, aclient=aclient)


def lancedb(folder: Path) -> BasePydanticVectorStore:
    from llama_index.vector_stores.lancedb import LanceDBVectorStore

    return LanceDBVectorStore(uri=str(folder / uuid.uuid4().hex), mode="overwrite")


def faiss(_: Path) -> BasePydanticVectorStore:
    import faiss
    from llama_index.vector_stores.faiss import FaissVectorStore

    return FaissVectorStore(faiss.IndexFlatIP(DIMENSIONS))


IN_PROCESS: dict[str, Callable[[Path], BasePydanticVectorStore]] = {
    "chroma": chroma,
    "faiss": faiss,
    "lancedb": lancedb,
    "qdrant": qdrant,
    "simple": simple,
}


@contextmanager
def postgres_socket() -> Iterator[str]:
    """The folder of the socket of a new PostgreSQL with pgvector."""
    sys.path.insert(0, str(ENGINES))
    try:
        import postgres
    finally:
        sys.path.remove(str(ENGINES))
    with postgres.server() as connection:
        yield connection.info.host


def pgvector(socket: str) -> BasePydanticVectorStore:
    from llama_index.vector_stores.postgres import PGVectorStore

    where = f"postgres@/postgres?host={socket}"
    return PGVectorStore.from_params(
        connection_string=f"postgresql+psycopg2://{where}",
        async_connection_string=f"postgresql+asyncpg://{where}",
        table_name=f"t{uuid.uuid4().hex}",
        embed_dim=DIMENSIONS,
        use_jsonb=True,
    )


def index(store: BasePydanticVectorStore, made: list[BaseNode] | None = None) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(nodes() if made is None else made, storage_context=context, embed_model=Words())
