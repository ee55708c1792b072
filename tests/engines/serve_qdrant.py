"""The part of Qdrant's REST interface that a search needs, on 127.0.0.1, over Qdrant's engine in process. Ends with standard input;
prints its port.

    PUT  /collections/NAME                {"vectors": {"size", "distance"}}
    PUT  /collections/NAME/points         {"points": [{"id", "vector", "payload"}]}
    GET  /collections/NAME
    POST /collections/NAME/points/query

What is asked is read as Qdrant's own client writes it, which refuses anything that the interface does not know.
"""

import http.server
import json
import sys
import tempfile
import threading

import qdrant_edge as engine
from qdrant_client import models

import qdrant

KEY = "a key"
LOCK = threading.Lock()


class Collection:
    def __init__(self, folder, vectors):
        self.vectors = vectors
        distance = getattr(engine.Distance, vectors["distance"])
        parameters = engine.EdgeVectorParams(size=vectors["size"], distance=distance)
        self.shard = engine.EdgeShard.create(folder, engine.EdgeConfig(vectors=parameters))

    def upsert(self, body):
        points = [engine.Point(point["id"], point["vector"], point["payload"]) for point in body["points"]]
        self.shard.update(engine.UpdateOperation.upsert_points(points))
        return {"status": "completed"}

    def describe(self):
        return {"config": {"params": {"vectors": self.vectors}}}

    def query(self, body):
        models.QueryRequest(**body)
        if len(body["query"]) != self.vectors["size"]:
            raise ValueError(f"Vector dimension error: expected dim: {self.vectors['size']}, got {len(body['query'])}")
        request = engine.QueryRequest(
            limit=body["limit"],
            offset=body["offset"],
            query=engine.Query.Nearest(body["query"]),
            filter=qdrant.condition_of_all(body["filter"]),
            params=engine.SearchParams(**body["params"]),
            with_payload=body["with_payload"],
        )
        points = self.shard.query(request)
        return {"points": [{"id": p.id, "version": 1, "score": p.score, "payload": p.payload} for p in points]}


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
        self.end_headers()
        self.wfile.write(text)

    def handle_request(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
        if self.headers.get("api-key") != KEY:
            self.answer(401, {"status": {"error": "Must provide an API key"}})
            return
        _, _, name, *path = self.path.split("/")
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
                case "GET", [], _:
                    result = collection.describe()
                case "POST", ["points", "query"], _:
                    result = collection.query(body)
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
