"""Weaviate, a real server, against the cases of `engine_cases weaviate`, read from standard input.

Each filter is asked for in a GraphQL query, and in a search by the official client, over gRPC. The server listens on every interface, so
this runs only without a network: `unshare --net --map-root-user python weaviate.py SERVER`.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time

import alone
import cases

sys.path.append(sys.path.pop(0))  # This file has the name of the package, which is to be found first.
import weaviate  # noqa: E402
from weaviate.classes.config import Configure, DataType, Property, Tokenization  # noqa: E402
from weaviate.classes.data import DataObject  # noqa: E402
from weaviate.classes.query import Filter  # noqa: E402
from weaviate.exceptions import WeaviateBaseError  # noqa: E402

REST, GRPC = 8080, 50051
VECTOR = [1.0, 0.5]
SETTINGS = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
    "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
    "CLUSTER_HOSTNAME": "node",
    "DEFAULT_VECTORIZER_MODULE": "none",
    "DISABLE_TELEMETRY": "true",
    "DISK_USE_READONLY_PERCENTAGE": "0",  # A disk that is nearly full is no fault of a dialect.
    "GO_PROFILING_DISABLE": "true",
    "GRPC_PORT": str(GRPC),
    "RAFT_BOOTSTRAP_EXPECT": "1",
}
METHODS = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "LessThan": "less_than",
    "LessThanEqual": "less_or_equal",
    "GreaterThan": "greater_than",
    "GreaterThanEqual": "greater_or_equal",
    "ContainsAny": "contains_any",
    "ContainsAll": "contains_all",
    "IsNull": "is_none",
}
SINGLE = {
    "valueText": DataType.TEXT,
    "valueInt": DataType.INT,
    "valueNumber": DataType.NUMBER,
    "valueBoolean": DataType.BOOL,
}
ARRAYS = {
    DataType.TEXT: DataType.TEXT_ARRAY,
    DataType.INT: DataType.INT_ARRAY,
    DataType.NUMBER: DataType.NUMBER_ARRAY,
    DataType.BOOL: DataType.BOOL_ARRAY,
}


@contextlib.contextmanager
def server(binary):
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--scheme", "http", "--host", "127.0.0.1", "--port", str(REST)]
        settings = {**SETTINGS, "PERSISTENCE_DATA_PATH": folder + "/data"}
        with open(folder + "/log", "w+") as log:
            process = subprocess.Popen([os.path.abspath(binary), *arguments], env=settings, cwd=folder, stdout=log, stderr=log)
            try:
                wait_for(process, log)
                yield
            finally:
                process.kill()
                process.wait()


def wait_for(process, log):
    for _ in range(600):
        with contextlib.suppress(OSError):
            if request("GET", "/v1/.well-known/ready")[0] == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)
    sys.exit("the server did not start: " + log.read()[-2000:])


def request(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", REST, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def property_types(given):
    """Of each property that a filter can name. What has no declared type is kept where it is texts."""
    texts, array = dict.fromkeys(["chunk_id", "chunk_type"], DataType.TEXT), DataType.TEXT_ARRAY
    types = {**texts, "ancestors": array, "any": array}
    kinds = {"Long": DataType.INT, "Bool": DataType.BOOL, "decimal": DataType.NUMBER}
    for entry in given["declared"]:
        (name, *rest), declared = entry["attr"], entry["type"]
        if not rest and name.isascii() and name.isidentifier():
            of_set = declared.startswith("Set<")
            kind = kinds.get(declared.removeprefix("Set<").rstrip(">") if of_set else declared, DataType.TEXT)
            types[name] = ARRAYS[kind] if of_set else kind
    return types


def make(client, types):
    texts = (DataType.TEXT, DataType.TEXT_ARRAY)
    return client.collections.create(
        "Chunks",
        properties=[
            Property(
                name=name,
                data_type=kind,
                tokenization=Tokenization.FIELD if kind in texts else None,
                # The two kinds of index that whole numbers can have.
                index_range_filters=name == "level" or None,
            )
            for name, kind in types.items()
        ],
        inverted_index_config=Configure.inverted_index(index_null_state=True),
        vector_config=Configure.Vectors.self_provided(),
    )


def fill(collection, chunks, types):
    """Puts the chunks in, in a batch, which is gRPC, or else alone, which is REST; the ids of those that the server takes."""
    taken = []
    for chunk in chunks:
        own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
        values = {name: value for name, value in {**chunk["attributes"], **own}.items() if name in types}
        untyped = values.pop("any", None)
        untyped = untyped if isinstance(untyped, list) else [untyped]
        if all(isinstance(one, str) for one in untyped):
            values["any"] = untyped
        if puts(collection, values):
            taken.append(chunk["id"])
    return taken


def puts(collection, values):
    # The client has errors of its own for some of what it does not take.
    with contextlib.suppress(WeaviateBaseError, TypeError, ValueError):
        collection.data.insert_many([DataObject(properties=values, vector=VECTOR)])
        return True
    with contextlib.suppress(WeaviateBaseError, TypeError, ValueError):
        collection.data.insert(values, vector=VECTOR)
        return True
    return False


def is_of_types(filter_, types):
    """Whether it compares each property with values of its type."""
    if "operands" in filter_:
        return all(is_of_types(operand, types) for operand in filter_["operands"])
    ((kind, (name,)),) = [(SINGLE[key], filter_["path"]) for key in filter_ if key in SINGLE]
    return name == "_id" or filter_["operator"] == "IsNull" or types[name] in (kind, ARRAYS[kind])


def of_client(filter_):
    operands = [of_client(operand) for operand in filter_.get("operands", [])]
    match filter_["operator"]:
        case "And":
            return Filter.all_of(operands)
        case "Or":
            return Filter.any_of(operands)
        case "Not":
            return Filter.not_(operands[0])
    ((name,), value) = filter_["path"], next(value for key, value in filter_.items() if key in SINGLE)
    target = Filter.by_id() if name == "_id" else Filter.by_property(name)
    return getattr(target, METHODS[filter_["operator"]])(value)


def written(value, key=None):
    """The syntax of GraphQL: names of fields and operators without quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {written(inner, name)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(inner) for inner in value) + "]"
    return value if key == "operator" else json.dumps(value, ensure_ascii=False)


class Refused(Exception):
    """What the server says instead of an answer."""


def asked(native):
    """The ids of what a query selects."""
    query = "{Get {Chunks(limit: 1000, where: " + written(native) + ") {chunk_id}}}"
    status, body = request("POST", "/v1/graphql", {"query": query})
    answer = json.loads(body)
    if status != 200 or answer.get("errors"):
        raise Refused(answer)
    return {found["chunk_id"] for found in answer["data"]["Get"]["Chunks"]}


def is_refused(native):
    try:
        asked(native)
    except Refused:
        return True
    return False


def main():
    alone.raise_loopback()
    given = cases.read()
    types = property_types(given)
    with server(sys.argv[1]):
        client = weaviate.connect_to_custom("127.0.0.1", REST, False, "127.0.0.1", GRPC, False, skip_init_checks=True)
        with client:
            run(given, types, make(client, types))


def run(given, types, collection):
    taken = set(fill(collection, given["chunks"], types))
    given["chunks"] = [chunk for chunk in given["chunks"] if chunk["id"] in taken]
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in taken]

    def select(native):
        found = asked(native)
        filters = of_client(native)
        answer = collection.query.near_vector(VECTOR, filters=filters, limit=1000, return_properties=["chunk_id"])
        other = {one.properties["chunk_id"] for one in answer.objects}
        assert other == found, f"the client selects {sorted(other - found)} more, and not {sorted(found - other)}"
        return found

    # A value of another type than the property's is refused, whatever is stored; if it is not, it is judged as every case.
    every = given["cases"]
    given["cases"] = [case for case in every if is_of_types(case["native"], types) or not is_refused(case["native"])]
    refused = len(every) - len(given["cases"])
    print(f"{len(taken)} chunks; {refused} filters refused for a value of another type", file=sys.stderr)
    cases.check(given, select)


main()
