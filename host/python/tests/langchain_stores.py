"""Vector stores of LangChain with the documents of the tests in them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from conftest import DIMENSIONS, embed

ENGINES = Path(__file__).parents[3] / "tests" / "engines"

Documents = list[tuple[str, dict[str, Any]]]


class Words(Embeddings):
    """The embedding of the tests, as LangChain takes it."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return embed(text)


def as_documents(documents: Documents) -> list[Document]:
    return [Document(page_content=text, metadata=dict(metadata)) for text, metadata in documents]


def in_memory(documents: Documents, folder: Path) -> VectorStore:
    return InMemoryVectorStore.from_documents(as_documents(documents), Words())


def chroma(documents: Documents, folder: Path) -> VectorStore:
    import chromadb
    from chromadb.config import Settings
    from langchain_chroma import Chroma

    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    store = Chroma(f"c{uuid.uuid4().hex}", Words(), client=client)
    store.add_documents(as_documents(documents))
    return store


def qdrant(documents: Documents, folder: Path) -> VectorStore:
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection("documents", models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE))
    store = QdrantVectorStore(client, "documents", Words())
    store.add_documents(as_documents(documents))
    return store


def faiss(documents: Documents, folder: Path) -> VectorStore:
    from langchain_community.vectorstores import FAISS

    return FAISS.from_documents(as_documents(documents), Words())


def lancedb_of_community(documents: Documents, folder: Path) -> VectorStore:
    from langchain_community.vectorstores import LanceDB

    store = LanceDB(uri=str(folder / uuid.uuid4().hex), embedding=Words())
    store.add_documents(as_documents(documents))
    return store


def lancedb(documents: Documents, folder: Path) -> VectorStore:
    from langchain_lancedb import LanceDB

    texts = [text for text, _ in documents]
    return LanceDB.from_texts(texts, Words(), [metadata for _, metadata in documents], uri=folder / uuid.uuid4().hex)


def milvus(documents: Documents, folder: Path) -> VectorStore:
    from langchain_milvus import Milvus

    uri = str(folder / f"{uuid.uuid4().hex}.db")
    store = Milvus(
        Words(),
        connection_args={"uri": uri},
        enable_dynamic_field=True,
        auto_id=True,
        index_params={"index_type": "FLAT", "metric_type": "COSINE"},
    )
    store.add_documents(as_documents(documents))
    return store


IN_PROCESS: dict[str, Callable[[Documents, Path], VectorStore]] = {
    "in memory": in_memory,
    "chroma": chroma,
    "faiss": faiss,
    "lancedb": lancedb,
    "lancedb of langchain_community": lancedb_of_community,
    "milvus": milvus,
    "qdrant": qdrant,
}


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a new PostgreSQL with pgvector, as SQLAlchemy takes it."""
    sys.path.insert(0, str(ENGINES))
    try:
        import postgres
    finally:
        sys.path.remove(str(ENGINES))
    with postgres.server() as connection:
        yield f"postgresql+psycopg://postgres@/postgres?host={connection.info.host}"


def pgvector(documents: Documents, address: str, **options: Any) -> VectorStore:
    from langchain_postgres import PGVector

    store = PGVector(Words(), connection=address, collection_name=uuid.uuid4().hex, **options)
    store.add_documents(as_documents(documents))
    return store


def pgvectorstore(documents: Documents, address: str) -> VectorStore:
    """Some of the metadata in columns, the rest in JSON."""
    from langchain_postgres import Column, PGEngine, PGVectorStore

    engine = PGEngine.from_connection_string(address)
    table = f"t{uuid.uuid4().hex}"
    columns = [Column("tenant", "TEXT"), Column("level", "BIGINT"), Column("number", "BIGINT")]
    engine.init_vectorstore_table(table, DIMENSIONS, metadata_columns=columns)
    names = [column.name for column in columns]
    store = PGVectorStore.create_sync(engine, Words(), table, metadata_columns=names)
    store.add_documents(as_documents(documents))
    return store
