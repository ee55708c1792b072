"""The languages that filters are translated to."""

from typing import Literal

Dialect = Literal[
    "chroma",
    "duckdb",
    "elasticsearch",
    "lancedb",
    "milvus",
    "opensearch",
    "pinecone",
    "postgres",
    "postgres-columns",
    "qdrant",
    "sqlite",
    "weaviate",
]
"""The name of a database's filter language."""
