"""The part of Qdrant's REST interface that searches and the gateway need, on 127.0.0.1, over Qdrant's engine in process. Ends with
standard input; prints its port.

    GET  /                                              GET  /collections/NAME
    PUT  /collections/NAME                              {"vectors": {"size", "distance"}}
    PUT  /collections/NAME/points                       {"points": [{"id", "vector", "payload"}]}
    PUT  /collections/NAME/index                        {"field_name", "field_schema"}
    POST /collections/NAME/points                       {"ids"}
    POST /collections/NAME/points/query | scroll | count | delete

    GET  /seen                                          what the last requests were: of tests, no part of Qdrant

What is asked is read as Qdrant's own client writes it, which refuses anything that the interface does not know.
"""

import collections
import http.server
import json
import sys
import tempfile
import threading
import uuid

import qdrant_edge as engine
from qdrant_client import models

import qdrant

KEY = "a key"
LOCK = threading.Lock()
SEEN = collections.deque(maxlen=200)


def point_id(json_):
    return uuid.UUID(json_) if isinstance(json_, str) else json_


def filter_of(body):
    return qdrant.condition_of_all(body["filter"]) if body.get("filter") else None


def plain(point, with_vector, **more):
    json_ = {"id": point.id if isinstance(point.id, int) else str(point.id), "payload": point.payload, **more}
    if with_vector:
        json_["vector"] = point.vector
    return json_


class Collection:
    def __init__(self, folder, vectors):
        self.vectors = vectors
        distance = getattr(engine.Distance, vectors["distance"])
        parameters = engine.EdgeVectorParams(size=vectors["size"], distance=distance)
        self.shard = engine.EdgeShard.create(folder, engine.EdgeConfig(vectors=parameters))

    def upsert(self, body):
        models.PointsList(**body)
        points = [
            engine.Point(point_id(point["id"]), point["vector"], point["payload"]) for point in body["points"]
        ]
        self.shard.update(engine.UpdateOperation.upsert_points(points))
        return {"operation_id": 1, "status": "completed"}

    def delete(self, body):
        models.PointIdsList(**body)
        ids = [point_id(json_) for json_ in body["points"]]
        self.shard.update(engine.UpdateOperation.delete_points(ids))
        return {"operation_id": 1, "status": "completed"}

    def index(self, body):
        schema = getattr(engine.PayloadSchemaType, body["field_schema"].capitalize())
        self.shard.update(engine.UpdateOperation.create_field_index(body["field_name"], schema))
        return {"operation_id": 1, "status": "completed"}

    def describe(self):
        return {"config": {"params": {"vectors": self.vectors}}, "points_count": self.shard.count(engine.CountRequest())}

    def retrieve(self, body):
        models.PointRequest(**body)
        ids = [point_id(json_) for json_ in body["ids"]]
        with_vector = body.get("with_vector", False)
        return [plain(p, with_vector) for p in self.shard.retrieve(ids, with_payload=True, with_vector=with_vector)]

    def scroll(self, body):
        models.ScrollRequest(**body)
        with_vector = body.get("with_vector", False)
        request = engine.ScrollRequest(
            limit=body["limit"],
            offset=point_id(body.get("offset")),
            filter=filter_of(body),
            with_payload=body["with_payload"],
            with_vector=with_vector,
        )
        points, following = self.shard.scroll(request)
        if following is not None and not isinstance(following, int):
            following = str(following)
        return {"points": [plain(p, with_vector) for p in points], "next_page_offset": following}

    def count(self, body):
        models.CountRequest(**body)
        return {"count": self.shard.count(engine.CountRequest(exact=body["exact"], filter=filter_of(body)))}

    def vector(self, json_, taken):
        """A vector, or that of a point, which a search does not find."""
        if isinstance(json_, list):
            if len(json_) != self.vectors["size"]:
                expected = self.vectors["size"]
                raise ValueError(f"Vector dimension error: expected dim: {expected}, got {len(json_)}")
            return json_
        found = self.shard.retrieve([point_id(json_)], with_payload=False, with_vector=True)
        if not found:
            raise ValueError(f"No point with id {json_} found")
        taken.append(json_)
        return found[0].vector

    def ranking(self, json_, taken):
        def vectors(list_):
            return [self.vector(part, taken) for part in list_ or []]

        def pairs(json_):
            pairs = json_ if isinstance(json_, list) else [json_]
            return [engine.ContextPair(*vectors([pair["positive"], pair["negative"]])) for pair in pairs]

        match json_:
            case None:
                return None
            case {"nearest": part}:
                return engine.Query.Nearest(self.vector(part, taken))
            case {"recommend": part}:
                examples = vectors(part.get("positive")), vectors(part.get("negative"))
                return engine.Query.RecommendBestScore(engine.RecommendQuery(*examples))
            case {"discover": part}:
                target = self.vector(part["target"], taken)
                return engine.Query.Discover(engine.DiscoverQuery(target, pairs(part["context"])))
            case {"context": part}:
                return engine.Query.Context(engine.ContextQuery(pairs(part)))
            case {"order_by": {"key": key, **more}}:
                direction = getattr(engine.Direction, (more.get("direction") or "asc").capitalize())
                return engine.OrderBy(key, direction)
            case {"order_by": key}:
                return engine.OrderBy(key)
            case {"fusion": "rrf"}:
                return engine.Fusion.Rrf(2, None)
            case {"fusion": "dbsf"}:
                return engine.Fusion.Dbsf()
            case _:
                return engine.Query.Nearest(self.vector(json_, taken))

    def stage(self, body):
        taken = []
        query = self.ranking(body.get("query"), taken)
        parts = [part for part in [body.get("filter")] if part]
        if taken:
            parts.append({"must_not": [{"has_id": taken}]})
        prefetch = body.get("prefetch") or []
        return {
            "query": query,
            "filter": qdrant.condition_of_all({"must": parts}) if parts else None,
            "prefetches": [
                engine.Prefetch(limit=stage.get("limit", 10), **self.stage(stage)) for stage in prefetch
            ],
            "params": engine.SearchParams(**body.get("params", {})),
            "score_threshold": body.get("score_threshold"),
        }

    def query(self, body):
        models.QueryRequest(**body)
        with_vector = body.get("with_vector", False)
        request = engine.QueryRequest(
            limit=body["limit"],
            offset=body.get("offset", 0),
            with_payload=body["with_payload"],
            with_vector=with_vector,
            **self.stage(body),
        )
        return {"points": [plain(p, with_vector, score=p.score, version=1) for p in self.shard.query(request)]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    collections = {}

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-secret", "of the database")
        self.end_headers()
        self.wfile.write(text)

    def handle_request(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
        if self.headers.get("api-key") != KEY:
            self.answer(401, {"status": {"error": "Must provide an API key"}})
            return
        _, *path = self.path.split("?")[0].split("/")
        if path == ["seen"]:
            self.answer(200, list(SEEN))
            return
        SEEN.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
        if path == [""]:
            self.answer(200, {"title": "qdrant - vector search engine", "version": "1.20.0", "commit": "secret"})
            return
        _, name, *path = path
        # The engine is not for several threads at once.
        with LOCK:
            self.answer(*self.result(name, path, body))

    def result(self, name, path, body):
        collection = self.collections.get(name)
        try:
            match self.command, path, collection:
                case "PUT", [], _:
                    self.collections[name] = Collection(tempfile.mkdtemp(dir=FOLDER), body["vectors"])
                    result = True
                case _, _, None:
                    return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}}
                case "PUT", ["points"], _:
                    result = collection.upsert(body)
                case "PUT", ["index"], _:
                    result = collection.index(body)
                case "GET", [], _:
                    result = collection.describe()
                case "POST", ["points"], _:
                    result = collection.retrieve(body)
                case "POST", ["points", "query" | "scroll" | "count" | "delete" as what], _:
                    result = getattr(collection, what)(body)
            return 200, {"result": result, "status": "ok", "time": 0.0}
        except Exception as error:  # The server goes on, as Qdrant does.
            return 400, {"status": {"error": str(error)}}

    do_GET = do_PUT = do_POST = handle_request


with tempfile.TemporaryDirectory() as FOLDER:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # A client that went away.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
