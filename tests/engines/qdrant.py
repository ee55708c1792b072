"""Qdrant's engine, in process, against the cases of `engine_cases qdrant`, read from standard input."""

import json
import sys
import tempfile

import qdrant_edge as engine
from qdrant_client import QdrantClient, models

import cases

# With `--indexed`, the payload has these indexes.
INDEXES = {
    "t": engine.PayloadSchemaType.Keyword,
    "team": engine.PayloadSchemaType.Keyword,
    "n": engine.PayloadSchemaType.Integer,
    "score": engine.PayloadSchemaType.Float,
    "at": engine.PayloadSchemaType.Datetime,
    "owner": engine.PayloadSchemaType.Keyword,
    "tags": engine.PayloadSchemaType.Keyword,
    "numbers": engine.PayloadSchemaType.Integer,
    "chunk_id": engine.PayloadSchemaType.Keyword,
    "ancestors": engine.PayloadSchemaType.Keyword,
}


def truth_as_text(json_):
    """`MatchValue` takes `True` for 1, which no payload's `true` matches: truth values are texts on both sides here. With
    `--client` they stay what they are."""
    match json_:
        case bool():
            return f"truth value {json_}"
        case list():
            return [truth_as_text(part) for part in json_]
        case dict():
            return {name: truth_as_text(part) for name, part in json_.items()}
        case _:
            return json_


def with_years(json_):
    """Python knows no year 0."""
    return json.loads(json.dumps(json_).replace('"0000-01-01T', '"0001-01-01T'))


def condition(json_):
    """The engine's own form of a condition of the REST interface."""
    match json_:
        case {"has_id": ids}:
            return engine.HasIdCondition(set(ids))
        case {"is_empty": {"key": key}}:
            return engine.IsEmptyCondition(key)
        case {"key": key, "match": {"value": value}}:
            return engine.FieldCondition(key, match=engine.MatchValue(value))
        case {"key": key, "match": {"any": values}}:
            return engine.FieldCondition(key, match=engine.MatchAny(values))
        case {"key": key, "match": {"prefix": prefix}}:
            return engine.FieldCondition(key, match=engine.MatchPrefix(prefix))
        case {"key": key, "match": {"except": values}}:
            return engine.FieldCondition(key, match=engine.MatchExcept(values))
        case {"key": key, "match": {"text": text}}:
            return engine.FieldCondition(key, match=engine.MatchText(text))
        case {"key": key, "values_count": bounds}:
            return engine.FieldCondition(key, values_count=engine.ValuesCount(**bounds))
        case {"is_null": {"key": key}}:
            return engine.IsNullCondition(key)
        case {"nested": {"key": key, "filter": inner}}:
            return engine.NestedCondition(key, condition_of_all(inner))
        case {"key": key, "range": bounds} if any(isinstance(bound, str) for bound in bounds.values()):
            return engine.FieldCondition(key, range=engine.RangeDateTime(**bounds))
        case {"key": key, "range": bounds}:
            return engine.FieldCondition(key, range=engine.RangeFloat(**bounds))
        case _:
            return condition_of_all(json_)


def condition_of_all(json_):
    def conditions(parts):
        return [condition(part) for part in (parts if isinstance(parts, list) else [parts])]

    def read(name, parts):
        if name == "min_should":
            return engine.MinShould(conditions(parts["conditions"]), parts["min_count"])
        return conditions(parts)

    return engine.Filter(**{name: read(name, parts) for name, parts in json_.items() if parts is not None})


def payload(chunk):
    own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
    return {**chunk["attributes"], **own}


def by_engine(chunks, folder):
    """The real engine, with the indexes or without."""
    config = engine.EdgeConfig(vectors=engine.EdgeVectorParams(size=2, distance=engine.Distance.Dot))
    shard = engine.EdgeShard.create(folder, config)
    points = [
        engine.Point(number, [1.0, 0.5], truth_as_text(payload(chunk))) for number, chunk in enumerate(chunks)
    ]
    shard.update(engine.UpdateOperation.upsert_points(points))
    if "--indexed" in sys.argv:
        for name, schema in INDEXES.items():
            shard.update(engine.UpdateOperation.create_field_index(name, schema))

    def select(native):
        models.Filter(**with_years(native))  # It refuses what the REST interface does not know.
        filter_ = condition_of_all(truth_as_text(native))
        records, _ = shard.scroll(engine.ScrollRequest(limit=len(chunks), filter=filter_))
        return [chunks[record.id]["id"] for record in records]

    return select


def by_client(chunks):
    """What Qdrant's client does in memory: another implementation."""
    client = QdrantClient(":memory:")
    client.create_collection("chunks", models.VectorParams(size=2, distance=models.Distance.DOT))
    points = [
        models.PointStruct(id=number, vector=[1.0, 0.5], payload=with_years(payload(chunk)))
        for number, chunk in enumerate(chunks)
    ]
    client.upsert("chunks", points)

    def select(native):
        records, _ = client.scroll("chunks", models.Filter(**with_years(native)), limit=len(chunks))
        return [chunks[record.id]["id"] for record in records]

    return select


def main():
    given = cases.read()
    if "--client" in sys.argv:
        cases.check(given, by_client(given["chunks"]))
    with tempfile.TemporaryDirectory() as folder:
        cases.check(given, by_engine(given["chunks"], folder))


if __name__ == "__main__":
    main()
