"""MCP servers whose tools hand out what the holder of the token may read.

    docs = server("docs", TokenVerifier("https://id.example", audience="https://docs.example/mcp", keys=JWKS_URL), url="https://docs.example/mcp")
    add_search(docs, policy, search)           # your search: (query, how many, the policy's rewrite) -> chunks, best first
    docs.run("streamable-http")

Who asks is in the bearer token of each HTTP request, verified, and nowhere else: an argument that a tool does not declare is refused, and a tool that
declares one for an identity is not made. What a model gets back says nothing of what was denied, how much or why; what goes wrong, it learns no more of than
that something did. Over stdio there is no token, so that nothing is found.

A tool of your own takes `@tool(docs)` in place of `@docs.tool()`. It runs inside of `tamis.acting`, so that guarded retrievers of LangChain and LlamaIndex
know who asks:

    @tool(docs)
    async def find(query: str) -> list[str]:
        "Finds passages."
        return [node.get_content() for node in await retriever.aretrieve(query)]
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

try:
    import anyio.to_thread
    from mcp.server import MCPServer
    from mcp.server.auth.middleware.auth_context import get_access_token
    from mcp.server.auth.provider import AccessToken
    from mcp.server.auth.settings import AuthSettings
    from mcp.server.mcpserver.tools import Tool
    from pydantic import AnyHttpUrl, BaseModel, Field, PrivateAttr, create_model
except ImportError as error:
    raise ImportError('an MCP server needs its SDK: pip install "tamis[mcp]"') from error

from tamis._chunk import redacted
from tamis._context import acting, current_request
from tamis._errors import InputError, NoRequestError
from tamis._native import Policy, Request, Rewrite
from tamis._search import BUDGET, Asks, Found, Hit, arun, widen
from tamis.tokens import TokenError, TokenVerifier, Verified

_log = logging.getLogger("tamis")

IDENTITY = frozenset(
    {
        "acting_as",
        "actor",
        "groups",
        "identity",
        "on_behalf_of",
        "principal",
        "request",
        "scopes",
        "subject",
        "token",
        "user",
        "user_id",
        "username",
    }
)
"""Names that an argument of a tool cannot have: a model, or whoever wrote what it has read, would fill it in."""

Search = Callable[[str, int, Rewrite], Sequence[Any] | Awaitable[Sequence[Any]]]
"""Finds chunks: what is asked for, how many are wanted from the best on, and the policy's filter for a database that takes one."""
Function = TypeVar("Function", bound=Callable[..., Any])


class Access(AccessToken):
    """A token's access, with the request that it makes."""

    _request: Request = PrivateAttr()

    @classmethod
    def of(cls, token: str, verified: Verified, audience: str) -> Access:
        """What the SDK is told of a token that verified."""
        claims = verified.claims
        subject = verified.request.subject[1]
        client = str(claims.get("client_id") or claims.get("azp") or subject)
        access = cls(
            token=token,
            # The SDK keeps a session for one client and subject. An agent that acts for somebody is not to join a session of theirs.
            client_id=" ".join([client, *(name for _, name in verified.request.actors)]),
            scopes=sorted(verified.scopes),
            expires_at=int(claims["exp"]),
            resource=audience,
            subject=subject,
            claims=dict(claims),
        )
        access._request = verified.request
        return access

    @property
    def request(self) -> Request:
        """Who asks."""
        return self._request


class TokenAuth:
    """What the SDK asks whether to believe a bearer token."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token's access, or None, whatever is wrong with it."""
        try:
            verified = await self._verifier.averify(token)
        except TokenError as error:
            _log.info("a token is refused: %s", error)
            return None
        return Access.of(token, verified, self._verifier.audience)


def server(
    name: str, verifier: TokenVerifier, *, url: str, scopes: Sequence[str] = (), **options: Any
) -> MCPServer[Any]:
    """A server that answers to nobody without a token that verifies. `url` is where it is reached, and `options` are those of `MCPServer`."""
    auth = AuthSettings(
        issuer_url=AnyHttpUrl(verifier.issuer),
        resource_server_url=AnyHttpUrl(url),
        required_scopes=list(scopes),
        # The verifier has held the audience against its own, which need not be a URL.
        validate_token_resource=False,
    )
    return MCPServer(name, auth=auth, token_verifier=TokenAuth(verifier), **options)


def token_request() -> Request:
    """The request of the token that came with the current HTTP request.

    Raises `NoRequestError` where none came, or it was verified by something else.
    """
    access = get_access_token()
    if not isinstance(access, Access):
        raise NoRequestError("no token says who asks: is the server one of `tamis.mcp.server`, and reached over HTTP?")
    return access.request


def tool(server: MCPServer[Any], **options: Any) -> Callable[[Function], Function]:
    """Like `server.tool`, but the function runs inside of `tamis.acting` with the token's request, and takes no argument but its own.

    Raises `InputError` for a function with an argument for an identity.
    """

    def add(function: Function) -> Function:
        made = Tool.from_function(_acting(function), **options)
        names = [*inspect.signature(function).parameters, *_names(made.parameters)]
        forbidden = [name for name in names if _folded(name) in _IDENTITY]
        if forbidden:
            raise InputError(
                f"the tool has an argument `{forbidden[0]}`: who asks comes from the token, not from a model"
            )
        if server._tool_manager.get_tool(made.name) is not None:
            raise InputError(f"the server has a tool `{made.name}` already")
        arguments = made.fn_metadata.arg_model
        strict = create_model(arguments.__name__, __base__=arguments, __cls_kwargs__={"extra": "forbid"})
        made.fn_metadata.arg_model = strict
        made.parameters = strict.model_json_schema(by_alias=True)
        server._tool_manager._tools[made.name] = made
        return function

    return add


def _folded(name: str) -> str:
    """A name, however its words are joined."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


_IDENTITY = frozenset(_folded(name) for name in IDENTITY)


def _names(schema: Any) -> Iterator[str]:
    """The names of all arguments in a JSON schema, and of what is in them."""
    for key, inner in schema.items() if isinstance(schema, Mapping) else ():
        if key == "properties" and isinstance(inner, Mapping):
            yield from inner
        yield from _names(inner)
    for inner in schema if isinstance(schema, list) else ():
        yield from _names(inner)


def _acting(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            with acting(token_request()):
                return await function(*args, **kwargs)

        return asynchronous

    @functools.wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        with acting(token_request()):
            return function(*args, **kwargs)

    return synchronous


class Passage(BaseModel):
    """Something that was found."""

    id: str | None
    text: str | None
    attributes: dict[str, Any]


def add_search(
    server: MCPServer[Any],
    policy: Policy,
    search: Search,
    *,
    name: str = "search",
    description: str = "Finds passages, best first.",
    show: Sequence[str] = (),
    by_words: bool = True,
    most: int = 20,
    budget: int = BUDGET,
) -> None:
    """Adds a tool that searches for words and hands out what the policy allows, and of that the text, the id and the attributes in `show`.

    `search` is asked again for more until there are as many as the model wants, at most `most`. It may be async. Its chunks are `tamis.Chunk`
    or of their shape. That a chunk is found tells that the words are in its text, so that one whose text is redacted is not: unless `by_words=False`
    says that `search` goes by meaning alone.
    """

    fetch = search if inspect.iscoroutinefunction(search) else _in_thread(search)

    async def find(query: str, k: int = min(5, most)) -> list[Passage]:
        session = policy.session(current_request())
        rewrite = session.rewrite(k)
        searching = widen(session, rewrite, k, _same, asks=Asks(text=by_words), budget=budget)
        found: Found[Any] = await arun(searching, lambda wanted: fetch(query, wanted, rewrite))
        _log.debug("a search by %s: %d examined, %d denied", session.request.subject, found.examined, found.denied)
        return _passages(found, show)

    find.__annotations__ |= {
        "query": Annotated[str, Field(description="What to look for", max_length=4096)],
        "k": Annotated[int, Field(description="How many passages", ge=1, le=most)],
    }
    tool(server, name=name, description=description)(find)


def _in_thread(search: Search) -> Callable[[str, int, Rewrite], Awaitable[Sequence[Any]]]:
    async def fetch(query: str, wanted: int, rewrite: Rewrite) -> Sequence[Any]:
        found = await anyio.to_thread.run_sync(search, query, wanted, rewrite)
        return await found if inspect.isawaitable(found) else found

    return fetch


def _same(chunk: Any) -> Any:
    return chunk


def _passages(found: Found[Any], show: Sequence[str]) -> list[Passage]:
    def visible(hit: Hit[Any]) -> Any:
        decision = hit.decision
        is_whole = not decision.redacted and not decision.redacts_text
        return hit.item if is_whole else redacted(hit.item, decision.redacted, decision.redacts_text)

    return [_passage(visible(hit), show) for hit in found.hits]


def _passage(chunk: Any, show: Sequence[str]) -> Passage:
    def part(name: str) -> Any:
        return chunk.get(name) if isinstance(chunk, Mapping) else getattr(chunk, name, None)

    name, attributes = part("id"), part("attributes") or {}
    return Passage(
        id=None if name is None else str(name),
        text=part("text"),
        attributes={shown: attributes[shown] for shown in show if shown in attributes},
    )
