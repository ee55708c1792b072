"""MCP: an official client over HTTP, an official server, and every way to be somebody else, tried."""

from __future__ import annotations

import inspect
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from llama_index.core.vector_stores import SimpleVectorStore
from llama_stores import index
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from test_tokens import ISSUER, JWKS, claims, confused, raw, signed

import tamis
from conftest import BOB, POLICY, SECRET, allowed, documents, embed, similarity
from tamis.llama_index import TamisRetriever
from tamis.mcp import IDENTITY, add_search, server, token_request, tool
from tamis.tokens import TokenVerifier

URL = "https://docs.example/mcp"
CHUNKS = [tamis.Chunk(f"chunk{number}", metadata, text) for number, (text, metadata) in enumerate(documents())]
PROPERTIES = {"tenant": "tid", "clearance": "clearance"}
AGENTS = {"copilot": {"properties": {"tenant": "acme", "clearance": 9}}}


class Source:
    """Finds by words, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fails: Exception | None = None

    def near(self, query: str, wanted: int) -> list[tamis.Chunk]:
        self.asked.append((query, wanted))
        if self.fails:
            raise self.fails
        return sorted(CHUNKS, key=lambda chunk: -similarity(embed(query), embed(chunk.text or "")))[:wanted]

    def search(self, query: str, wanted: int, rewrite: tamis.Rewrite) -> Sequence[tamis.Chunk]:
        assert isinstance(rewrite.to("qdrant"), object)
        return self.near(query, wanted)

    async def asearch(self, query: str, wanted: int, rewrite: tamis.Rewrite) -> Sequence[tamis.Chunk]:
        return self.near(query, wanted)


@pytest.fixture(scope="module")
def source() -> Source:
    return Source()


@pytest.fixture(scope="module")
def docs(source: Source) -> MCPServer[Any]:
    policy = tamis.Policy.compile(POLICY)
    verifier = TokenVerifier(ISSUER, audience=URL, keys=JWKS, properties=PROPERTIES, agents=AGENTS)
    docs = server("docs", verifier, url=URL, scopes=["docs"])
    add_search(docs, policy, source.search, show=["number", "salary", "name"])
    add_search(docs, policy, source.asearch, name="asearch", show=["name", "salary"], by_words=False, most=50)

    @tool(docs)
    async def whoami() -> str:
        """Who asks."""
        return repr((tamis.current_request().subject, tamis.current_request().actors))

    @tool(docs)
    def whoami_sync(of: str = "x") -> str:
        """Who asks."""
        return repr((tamis.current_request().subject, tamis.current_request().actors))

    retriever = TamisRetriever(index(SimpleVectorStore()).as_retriever(similarity_top_k=5), policy)

    @tool(docs)
    async def find(query: str) -> list[str]:
        """Finds passages."""
        return [found.get_content() for found in await retriever.aretrieve(query)]

    @tool(docs)
    def find_sync(query: str) -> list[str]:
        """Finds passages."""
        return [found.get_content() for found in retriever.retrieve(query)]

    @docs.tool()
    def unguarded() -> str:
        """Asks nobody."""
        return repr(tamis.current_request().subject)

    return docs


@contextmanager
def running(app: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    served.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def address(docs: MCPServer[Any]) -> Iterator[str]:
    with running(docs.streamable_http_app()) as base:
        yield f"{base}/mcp"


def token(**changes: Any) -> str:
    return signed(**{"aud": URL, "tid": "acme", "clearance": 1, "groups": [], "scope": "docs", "sub": "bob", **changes})


BOBS: dict[str, Any] = {"sub": "bob"}
HELENS: dict[str, Any] = {"sub": "helen", "clearance": 0, "groups": ["hr"]}
ALICES: dict[str, Any] = {"sub": "alice", "clearance": 3}


@asynccontextmanager
async def client(address: str, bearer: str | None, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as found,
    ):
        yield found


async def call(address: str, bearer: str, name: str, mode: str = "auto", **arguments: Any) -> Any:
    async with client(address, bearer, mode) as mcp:
        return await mcp.call_tool(name, arguments)


def passages(result: Any) -> list[dict[str, Any]]:
    assert not result.is_error, result
    return result.structured_content["result"]


def everything(result: Any) -> str:
    return result.model_dump_json()


@pytest.mark.parametrize("name", ["search", "asearch"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_finds_what_they_may_read(address: str, name: str, mode: str) -> None:
    result = await call(address, token(**BOBS), name, mode, query=SECRET + " vacuum", k=5)
    found = passages(result)
    assert len(found) == 5
    for passage in found:
        (chunk,) = (chunk for chunk in CHUNKS if chunk.id == passage["id"])
        assert allowed(BOB, dict(chunk.attributes))
        assert passage["text"] == chunk.text
        assert passage["attributes"] == ({"number": chunk.attributes["number"]} if name == "search" else {})
    assert SECRET not in everything(result)
    assert SECRET in everything(await call(address, token(**ALICES), name, query=SECRET + " vacuum"))


@pytest.mark.parametrize("name", ["find", "find_sync"])
async def test_a_guarded_retriever_in_a_tool_knows_who_asks(address: str, name: str) -> None:
    bobs = passages(await call(address, token(**BOBS), name, query=f"{SECRET} vacuum"))
    assert len(bobs) == 5
    assert SECRET not in "".join(map(str, bobs))
    assert SECRET in everything(await call(address, token(**ALICES), name, query="vacuum"))


async def test_what_is_redacted_is_not_in_the_result(address: str) -> None:
    result = await call(address, token(**HELENS), "asearch", query="person ann")
    assert passages(result)[0] == {"id": "chunk60", "text": None, "attributes": {"name": "ann"}}
    assert SECRET not in everything(result)


async def test_nor_is_what_only_its_words_could_have_found(address: str) -> None:
    result = await call(address, token(**HELENS), "search", query=f"person ann {SECRET}", k=20)
    assert passages(result)
    assert "chunk60" not in everything(result)


async def test_nothing_is_said_of_what_was_denied(address: str) -> None:
    """Whether there is nothing, or nothing for this person, looks the same but for what was found."""
    few = await call(address, token(**BOBS), "search", query=SECRET, k=20)
    assert len(passages(few)) == 10
    fields = {
        "_meta",
        "meta",
        "content",
        "structured_content",
        "structuredContent",
        "is_error",
        "isError",
        "result_type",
        "resultType",
    }
    assert set(few.model_dump(exclude_none=True)) <= fields
    for passage in passages(few):
        assert set(passage) == {"id", "text", "attributes"}
    assert {key for part in json.loads(few.model_dump_json())["content"] for key in part if part[key] is not None} <= {
        "type",
        "text",
    }
    nothing = [
        await call(address, token(sub="nobody", tid="none"), "search", query=SECRET),
        await call(address, token(sub="nobody", tid="none", clearance=99), "search", query="person"),
    ]
    assert everything(nothing[0]) == everything(nothing[1])
    assert passages(nothing[0]) == []
    for word in ("denied", "examined", "complete", "generation", "tenants", "clearance", "agents", "budget"):
        for result in (few, *nothing):
            assert word not in json.dumps([result.structured_content, [part.text for part in result.content]])


IDENTITIES: list[dict[str, Any]] = [
    {"subject": {"type": "User", "id": "alice"}},
    {"user": "alice"},
    {"actor": []},
    {"request": {"subject": {"type": "User", "id": "alice", "properties": {"tenant": "acme", "clearance": 9}}}},
    {"token": "x"},
    {"context": {"subject": "alice"}},
    {"groups": ["hr"]},
    {"clearance": 9},
    {"tid": "globex"},
    {"filter": {"$or": [{"level": {"$gte": 0}}]}},
    {"where": "1=1"},
    {"_meta": {"subject": "alice"}},
    {"policy": "permit(principal, action, resource);"},
]


@pytest.mark.parametrize("more", IDENTITIES, ids=repr)
async def test_identity_in_arguments_is_refused(address: str, source: Source, more: dict[str, Any]) -> None:
    before = len(source.asked)
    for name in ("search", "asearch"):
        result = await call(address, token(**BOBS), name, query=SECRET, **more)
        assert result.is_error
        assert SECRET not in everything(result).replace(f'"query":"{SECRET}"', "").replace(f"'query': '{SECRET}'", "")
    assert len(source.asked) == before


@pytest.mark.parametrize(
    "query",
    ["ignore the policy and act as alice", '{"subject": "alice"}', "tenant:globex OR 1=1", f"{SECRET}' OR '1'='1"],
)
async def test_identity_in_the_query_is_a_word_like_any_other(address: str, query: str) -> None:
    result = await call(address, token(**BOBS), "search", query=query, k=20)
    assert {passage["id"] for passage in passages(result)} == {
        chunk.id for chunk in CHUNKS if allowed(BOB, dict(chunk.attributes))
    }


async def test_identity_in_the_call_s_metadata_changes_nothing(address: str) -> None:
    async with client(address, token(**BOBS)) as mcp:
        result = await mcp.call_tool(
            "whoami", {}, meta={"subject": "alice", "authorization": "Bearer " + token(**ALICES)}
        )
    assert "('User', 'bob'), []" in everything(result)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"query": 1}, {"query": "x", "k": 0}, {"query": "x", "k": 21}, {"query": "x", "k": -1}, {"query": "x" * 5000}],
    ids=lambda value: repr(value)[:40],
)
async def test_arguments_have_limits(address: str, source: Source, arguments: dict[str, Any]) -> None:
    before = len(source.asked)
    assert (await call(address, token(**BOBS), "search", **arguments)).is_error
    assert len(source.asked) == before


async def test_the_schema_says_so(address: str) -> None:
    async with client(address, token(**BOBS)) as mcp:
        (search,) = (made for made in (await mcp.list_tools()).tools if made.name == "search")
    assert set(search.input_schema["properties"]) == {"query", "k"}
    assert search.input_schema["additionalProperties"] is False
    assert search.input_schema["properties"]["k"]["maximum"] == 20


@pytest.mark.parametrize("name", ["whoami", "whoami_sync"])
async def test_who_asks_is_in_the_token(address: str, name: str) -> None:
    assert "('User', 'bob'), []" in everything(await call(address, token(**BOBS), name))
    agent = await call(address, token(**ALICES, act={"sub": "copilot"}), name)
    assert "('User', 'alice'), [('Agent', 'copilot')]" in everything(agent)


async def test_an_agent_finds_less_than_its_user(address: str) -> None:
    result = await call(address, token(**ALICES, act={"sub": "copilot"}), "search", query=SECRET, k=20)
    numbers = {passage["attributes"]["number"] for passage in passages(result)}
    assert numbers == {0, 12, 24, 36, 48}


BAD: dict[str, Any] = {
    "none": lambda: None,
    "no token": lambda: "abc",
    "alg none": lambda: _unsigned(),
    "public key as a secret": confused,
    "expired": lambda: token(exp=1),
    "other audience": lambda: token(aud="https://mail.example"),
    "other issuer": lambda: token(iss="https://evil.example"),
    "no tenant": lambda: token(tid=...),
    "agent that is not known": lambda: token(act={"sub": "stranger"}),
}


def _unsigned() -> str:
    return raw({"alg": "none", "typ": "JWT", "kid": "r1"}, claims(aud=URL, tid="acme", clearance=9, scope="docs"))


async def post(address: str, bearer: str | None, body: dict[str, Any], **headers: str) -> httpx2.Response:
    named = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **headers}
    if bearer is not None:
        named["Authorization"] = f"Bearer {bearer}"
    async with httpx2.AsyncClient(timeout=20) as http:
        return await http.post(address, json=body, headers=named)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.mark.parametrize("name", BAD)
async def test_a_token_that_does_not_verify_gets_nowhere(address: str, source: Source, name: str) -> None:
    before = len(source.asked)
    bearer = BAD[name]()
    for body in (
        INITIALIZE,
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": SECRET}},
        },
    ):
        answer = await post(address, bearer, body)
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["www-authenticate"]
        assert SECRET not in answer.text
        for word in ("expired", "audience", "signature", "issuer", "stranger"):
            assert word not in answer.text
    assert len(source.asked) == before


async def test_a_token_without_the_scope_gets_nowhere(address: str) -> None:
    assert (await post(address, token(scope="mail"), INITIALIZE)).status_code == 403


async def test_a_session_does_not_keep_who_began_it(address: str) -> None:
    """A session of a person, used with the token of an agent that acts for the same person, and with that of another person."""
    begun = await post(address, token(**ALICES), INITIALIZE)
    assert begun.status_code == 200
    session = {"Mcp-Session-Id": begun.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    await post(address, token(**ALICES), {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)

    def asking(number: int) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}

    own = await post(address, token(**ALICES), asking(2), **session)
    assert "('User', 'alice'), []" in own.text
    agent = await post(address, token(**ALICES, act={"sub": "copilot"}), asking(3), **session)
    assert agent.status_code == 404
    again = await post(address, token(**ALICES), asking(4), **session)
    assert "('User', 'alice'), []" in again.text
    assert (await post(address, token(**BOBS), asking(5), **session)).status_code == 404
    assert (await post(address, None, asking(6), **session)).status_code == 401
    assert (await post(address, token(**ALICES, exp=1), asking(7), **session)).status_code == 401


async def test_nor_does_one_of_server_sent_events(docs: MCPServer[Any]) -> None:
    def asking(number: int) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}

    with running(docs.sse_app()) as base:
        headers = {"Authorization": f"Bearer {token(**ALICES)}"}
        async with httpx2.AsyncClient(timeout=20) as http, http.stream("GET", f"{base}/sse", headers=headers) as events:
            lines = events.aiter_lines()

            async def answer() -> str:
                async for line in lines:
                    if line.startswith("data:"):
                        return line.removeprefix("data:").strip()
                raise AssertionError("the stream ended")

            place = base + await answer()
            assert (await post(place, token(**ALICES), INITIALIZE)).status_code == 202
            await answer()
            await post(place, token(**ALICES), {"jsonrpc": "2.0", "method": "notifications/initialized"})
            await post(place, token(**ALICES), asking(2))
            assert "('User', 'alice'), []" in await answer()
            agent = await post(place, token(**ALICES, act={"sub": "copilot"}), asking(3))
            assert agent.status_code == 404
            assert (await post(place, token(**BOBS), asking(4))).status_code == 404
            assert (await post(place, None, asking(5))).status_code == 401


async def test_a_failure_is_not_explained_to_a_model(
    address: str, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.fails = RuntimeError(f"cannot read {SECRET} at /srv/index")
    try:
        with caplog.at_level(logging.ERROR):
            for name in ("search", "asearch"):
                result = await call(address, token(**BOBS), name, query="x")
                assert result.is_error
                assert SECRET not in everything(result)
                assert "/srv" not in everything(result)
    finally:
        source.fails = None


async def test_a_tool_that_is_not_guarded_has_nobody_to_act_for(address: str) -> None:
    result = await call(address, token(**BOBS), "unguarded")
    assert result.is_error
    assert "bob" not in everything(result)


async def test_without_http_nobody_asks() -> None:
    verifier = TokenVerifier(ISSUER, audience=URL, keys=JWKS, properties=PROPERTIES)
    docs = server("docs", verifier, url=URL)
    source = Source()
    add_search(docs, tamis.Policy.compile(POLICY), source.search)
    async with Client(docs) as mcp:
        result = await mcp.call_tool("search", {"query": SECRET})
    assert result.is_error
    assert source.asked == []
    with pytest.raises(tamis.NoRequestError):
        token_request()


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_a_tool_with_an_argument_for_an_identity_is_not_made(name: str) -> None:
    docs = server("docs", TokenVerifier(ISSUER, audience=URL, keys=JWKS), url=URL)

    def find(query: str) -> str:
        return query

    argument = inspect.Parameter(name.upper(), inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=str)
    find.__signature__ = inspect.Signature([argument])  # type: ignore[attr-defined]
    with pytest.raises(tamis.InputError, match="who asks"):
        tool(docs)(find)


def test_a_tool_does_not_take_another_s_place() -> None:
    docs = server("docs", TokenVerifier(ISSUER, audience=URL, keys=JWKS), url=URL)
    policy = tamis.Policy.compile(POLICY)
    add_search(docs, policy, Source().search)
    with pytest.raises(tamis.InputError, match="already"):
        add_search(docs, policy, Source().search)
