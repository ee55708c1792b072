"""Qdrant's own client against the gateway, as three users: `gateway_client.py URL COLLECTION ALICE BOB CAROL`, the last three tokens. The
points are those of tests/tests/gateway/setup.rs."""

import asyncio
import sys
import warnings

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
URL, NAME, *TOKENS = sys.argv[1:]
CHECKS = 0


def client(token):
    return QdrantClient(url=URL, api_key=token, prefer_grpc=False)


def is_secret(number):
    return number % 5 == 1 or number == 0


READABLE = {tenant: [n for n in range(60) if n % 2 == rest and not is_secret(n)] for tenant, rest in [("a", 0), ("b", 1)]}
alice, bob, carol = (client(token) for token in TOKENS)
NEAREST = [1.0, 0.0]


def check(found, expected):
    global CHECKS
    CHECKS += 1
    assert found == expected, f"{found} and not {expected}"


def refused(status, call, *arguments, **named):
    global CHECKS
    CHECKS += 1
    try:
        call(*arguments, **named)
    except UnexpectedResponse as error:
        assert error.status_code == status, error
    else:
        raise AssertionError(f"{call} was not refused")


def ids(points):
    return [point.id for point in points]


check(alice.collection_exists(NAME), True)
check([c.name for c in alice.get_collections().collections], [NAME])
check(alice.get_collection(NAME).config.params.vectors.size, 2)
check(ids(alice.query_points(NAME, query=NEAREST, limit=7).points), READABLE["a"][:7])
check(ids(carol.query_points(NAME, query=NEAREST, limit=7, offset=2).points), READABLE["b"][2:9])
fused = alice.query_points(
    NAME,
    prefetch=[models.Prefetch(query=NEAREST, limit=5), models.Prefetch(query=[0.0, 1.0], limit=5)],
    query=models.FusionQuery(fusion=models.Fusion.RRF),
    limit=20,
)
check(sorted(ids(fused.points)), sorted(READABLE["a"][:5] + READABLE["a"][-5:]))
batch = [models.QueryRequest(query=NEAREST, limit=2), models.QueryRequest(query=12, limit=1)]
check([len(answer.points) for answer in alice.query_batch_points(NAME, batch)], [2, 1])
low = models.Filter(must=[models.FieldCondition(key="number", range=models.Range(lt=20))])
check(ids(bob.scroll(NAME, scroll_filter=low, limit=100)[0]), [n for n in READABLE["a"] if n < 20])

seen, offset = [], None
while True:
    points, offset = carol.scroll(NAME, limit=4, offset=offset)
    seen += ids(points)
    if offset is None:
        break
check(seen, READABLE["b"])

check(ids(alice.retrieve(NAME, [2, 3, 12])), [2, 12])
check("salary" in alice.retrieve(NAME, [12])[0].payload, True)
check("salary" in bob.retrieve(NAME, [12])[0].payload, False)
check(bob.retrieve(NAME, [12], with_vectors=True)[0].vector, None)
check(alice.count(NAME).count, len(READABLE["a"]))
alice.upsert(NAME, [models.PointStruct(id=500, vector=NEAREST, payload={"tenant": "a"})])
check(ids(bob.retrieve(NAME, [500])), [500])
refused(403, carol.upsert, NAME, [models.PointStruct(id=500, vector=NEAREST, payload={"tenant": "b"})])
refused(403, carol.delete, NAME, [500])
alice.delete(NAME, models.PointIdsList(points=[500]))
check(alice.retrieve(NAME, [500]), [])
refused(401, QdrantClient(url=URL, api_key="nonsense", check_compatibility=False).get_collections)


async def without_blocking():
    there = AsyncQdrantClient(url=URL, auth_token_provider=lambda: TOKENS[2], check_compatibility=False)
    answer = await there.query_points(NAME, query=NEAREST, limit=3)
    check(ids(answer.points), READABLE["b"][:3])
    await there.close()


asyncio.run(without_blocking())
print(f"{CHECKS} checks")
