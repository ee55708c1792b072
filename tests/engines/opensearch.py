"""OpenSearch or Elasticsearch, a real server, against the cases of `engine_cases opensearch` or `engine_cases elasticsearch`, read from
standard input. The argument is where it listens: see serve_opensearch.java and serve_elasticsearch.java.
"""

import contextlib
import sys

import cases
from opensearchpy import OpenSearch, RequestError

INDEX = "chunks"


def mapped(declared):
    element = declared.removeprefix("Set<").rstrip(">")
    return {"Long": "long", "Bool": "boolean", "decimal": "double"}.get(element, "keyword")


def mapping(given):
    """What the dialect assumes: see host/dialect/src/elasticsearch.rs. Dots separate the parts of a path, as in the names of fields."""
    types = {".".join(entry["attr"]): mapped(entry["type"]) for entry in given["declared"]}
    names = {name for chunk in given["chunks"] for name in chunk["attributes"]} - {name.split(".")[0] for name in types}
    types.update((name, "keyword") for name in [*(names - types.keys()), "chunk_id", "chunk_type", "ancestors"])
    return types


def fill(client, given, types):
    """Indexes the chunks, but for those that the index does not take, and returns their ids."""
    client.indices.delete(index=INDEX, ignore_unavailable=True)
    properties = {name: {"type": type_} for name, type_ in types.items()}
    mappings = {"dynamic": "strict", "properties": properties}
    client.indices.create(index=INDEX, body={"settings": {"number_of_shards": 1}, "mappings": mappings})
    ids = []
    for chunk in given["chunks"]:
        own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
        with contextlib.suppress(RequestError):
            client.index(index=INDEX, id=str(len(ids)), body={**chunk["attributes"], **own})
            ids.append(chunk["id"])
    client.indices.refresh(index=INDEX)
    return ids


def misreads(filter_, types):
    """Whether a filter asks for an attribute as if it had no type, although not everything can be compared with what it is mapped as."""
    if "attr" in filter_:
        return "type" not in filter_ and types[".".join(filter_["attr"])] != "keyword"
    parts = [filter_["arg"]] if "arg" in filter_ else filter_.get("args", [])
    return any(misreads(part, types) for part in parts)


def main():
    client = OpenSearch(f"http://{sys.argv[1]}", timeout=300)
    given = cases.read()
    types = mapping(given)
    ids = fill(client, given, types)

    def select(native):
        body = {"query": {"bool": {"filter": [native]}}, "size": len(ids), "_source": False}
        return [ids[int(hit["_id"])] for hit in client.search(index=INDEX, body=body)["hits"]["hits"]]

    asked = []
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in ids]
        try:
            if misreads(case["filter"], types):
                select(case["native"])
        except RequestError:
            continue
        asked.append(case)
    refused = len(given["cases"]) - len(asked)
    print(f"{len(ids)} chunks; {refused} queries refused for a value of another type", file=sys.stderr)
    given["chunks"], given["cases"] = ids, asked
    cases.check(given, select)


main()
