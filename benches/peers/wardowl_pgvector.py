"""Searches by wardowl over the table of the benchmark `retrieval`. Its argument is the folder of PostgreSQL's socket; a line of standard
input is a question, `{"groups", "vector"}`, and a line of standard output its answer, `{"ids", "seconds"}`."""

import json
import sys
import time

import psycopg_pool
from wardowl.backends.pgvector import PgVectorBackend
from wardowl.filters import In, matches
from wardowl.retriever import PermissionedRetriever
from wardowl.types import Query, Subject


class Readers:
    """A chunk is for the groups that it names."""

    def filter_for(self, subject, action="read"):
        return In("readers", subject.groups)

    def check(self, subject, hits, action="read"):
        return [matches(self.filter_for(subject), hit.metadata) for hit in hits]


def main():
    pool = psycopg_pool.ConnectionPool(f"host={sys.argv[1]} user=postgres dbname=postgres", min_size=1, max_size=1)
    with pool.connection() as connection:
        connection.execute(
            "CREATE VIEW wardowl_chunks AS"
            " SELECT chunk_id AS id, text AS content, attributes AS metadata, embedding FROM chunks"
        )
    retriever = PermissionedRetriever(backend=PgVectorBackend(pool), authorizer=Readers())
    for line in sys.stdin:
        question = json.loads(line)
        subject = Subject("u", groups=question["groups"])
        query = Query(vector=question["vector"])
        start = time.perf_counter()
        result = retriever.retrieve(query, subject, k=10)
        seconds = time.perf_counter() - start
        print(json.dumps({"ids": [hit.id for hit in result.hits], "seconds": seconds}), flush=True)


main()
