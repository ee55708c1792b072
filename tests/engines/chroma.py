"""Chroma, in process, against the cases of `engine_cases chroma`, read from standard input."""

import chromadb
from chromadb.config import Settings

import cases


def storable(value):
    """What Chroma takes: the rest is left out of the metadata."""
    if isinstance(value, list):
        return bool(value) and type(value[0]) in (str, int, float, bool) and len({type(e) for e in value}) == 1
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, (str, float))


def has_lost_set(chunk):
    """Whether a filter could look into an array that Chroma does not take, such as one of several types."""
    return any(isinstance(value, list) and value and not storable(value) for value in chunk["attributes"].values())


def main():
    given = cases.read()
    kept = [chunk for chunk in given["chunks"] if not has_lost_set(chunk)]
    ids = {chunk["id"] for chunk in kept}
    given["chunks"] = kept
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in ids]

    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    collection = client.create_collection("chunks", embedding_function=None)
    for number, chunk in enumerate(kept):
        metadata = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
        metadata |= chunk["attributes"]
        metadata = {name: value for name, value in metadata.items() if storable(value)}
        collection.add(ids=[str(number)], embeddings=[[1.0, 0.5]], metadatas=[metadata])

    def select(native):
        return [kept[int(number)]["id"] for number in collection.get(where=native)["ids"]]

    cases.check(given, select)


main()
