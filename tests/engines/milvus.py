"""Milvus 2.3, a real server, against the cases of `engine_cases milvus`, read from standard input.

It listens on every interface, so this runs only without a network: `unshare --net --map-root-user python milvus.py`.
Template parameters came with 2.5, so here they are written into the expression as literals.
It needs an environment of its own: milvus_requirements.txt.
"""

import json
import re
import sys
import tempfile

import alone
import cases

# This file has the name of the package, which is to be found first.
sys.path.append(sys.path.pop(0))
from milvus import default_server  # noqa: E402
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections  # noqa: E402

TEXT = {"dtype": DataType.VARCHAR, "max_length": 1000}


def literal(value):
    """JSON is the syntax of literals, but for the least whole number, which is no literal at all."""
    if value == -(2**63) or isinstance(value, list) and -(2**63) in value:
        raise Unwritable
    return json.dumps(value, ensure_ascii=False)


class Unwritable(Exception):
    """What has no literal."""


def written(native):
    return re.sub(r"\{(p\d+)\}", lambda match: literal(native["filter_params"][match[1]]), native["filter"])


def writable(native):
    try:
        return bool(written(native))
    except Unwritable:
        return False


def fill(chunks):
    collection = Collection("chunks", CollectionSchema([
        FieldSchema("number", DataType.INT64, is_primary=True),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=2),
        FieldSchema("chunk_id", **TEXT),
        FieldSchema("chunk_type", **TEXT),
        FieldSchema("attributes", DataType.JSON),
        FieldSchema("ancestors", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=100, max_length=1000),
    ]))
    collection.insert([
        list(range(len(chunks))),
        [[1.0, 0.5]] * len(chunks),
        [chunk["id"] for chunk in chunks],
        [chunk["type"] for chunk in chunks],
        [chunk["attributes"] for chunk in chunks],
        [chunk["ancestors"] for chunk in chunks],
    ])
    collection.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    return collection


def main():
    alone.raise_loopback()
    given = cases.read()
    every = len(given["cases"])
    given["cases"] = [case for case in given["cases"] if writable(case["native"])]
    print(f"{every - len(given['cases'])} cases have no literal", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        default_server.set_base_dir(folder)
        default_server.start()
        try:
            connections.connect(host="127.0.0.1", port=default_server.listen_port)
            collection = fill(given["chunks"])

            # Waiting for all that was written takes 0.2 s, so it is done once.
            collection.query("number >= 0", consistency_level="Strong")

            def select(native):
                rows = collection.query(written(native), output_fields=["chunk_id"], consistency_level="Eventually")
                return [row["chunk_id"] for row in rows]

            cases.check(given, select)
        finally:
            default_server.stop()


main()
