"""From a verified OAuth 2.0 or OpenID Connect token to a request.

    verifier = TokenVerifier("https://id.example", audience="https://docs.example/mcp", keys="https://id.example/jwks.json")
    request = verifier.request(bearer_token)

The token's signature, issuer, audience and times are checked before anything of it is believed. The subject comes from `sub`, its groups
from `groups`, the agents that act for it from the nested `act` claims of RFC 8693, the scopes from `scope` or `scp`. Nothing else can set
them. A token that leaves any of this open is refused with `TokenError`, whose text is for the operator, not for the caller.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tamis._errors import Error, InputError
from tamis._native import Request

try:
    import jwt
except ImportError as error:
    raise ImportError('tokens need PyJWT: pip install "tamis[tokens]"') from error

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the issuer can make. Never `none`, and never a shared secret, which whoever can verify can forge."""
TYPES = frozenset({"jwt", "at+jwt"})
"""What a token may call itself, in its `typ`; it may also say nothing. A logout token or a proof of possession says something else."""
MAX_LENGTH = 32 * 1024
"""Longer tokens are not even decoded. Servers commonly end at 8 or 16 KiB of headers."""
MAX_ACTORS = 8
"""More agents than this in one chain are refused: the policy is evaluated for each."""


class TokenError(Error):
    """A token that is not believed. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token says, after verification."""

    request: Request
    claims: Mapping[str, Any]
    scopes: frozenset[str]


class TokenVerifier:
    """Verifies tokens of one issuer for one audience. Safe to share between threads and tasks.

    - `keys` is the URL of the issuer's JWKS, or the JWKS itself. A URL is fetched when it is needed, kept for five minutes, and fetched again for an
      unknown key at most every 30 seconds. Tokens name their key in `kid`; an RSA key that does not say what it signs with is for RS256.
    - `scopes` are those that a token must have.
    - `groups` is where the groups are, as a claim or a path into one, such as `("realm_access", "roles")`; None if they are not to be taken. They become
      the subject's parents of type `group_type`.
    - `properties` are claims that become properties of the subject, by the property's name. A token without one of them is refused.
    - `agents` is what is known of each agent, `{"properties", "parents"}` by id: a token for any other is refused. None takes every
      agent that the issuer names, with nothing known of it.
    - `client_acts` makes the client that a token was issued to (`client_id` or `azp`) an agent as well, where `act` does not name it.
    - `bound` takes tokens that are bound to a key (`cnf`): only right where something in front has verified the possession of that key.

    A token that a client got for itself, its `sub` its own `client_id`, has an agent as its subject, so that nobody becomes a user
    by the choice of a client's name.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str,
        keys: str | Mapping[str, Any],
        scopes: Sequence[str] = (),
        groups: str | Sequence[str] | None = "groups",
        properties: Mapping[str, str] = MappingProxyType({}),
        agents: Mapping[str, Mapping[str, Any]] | None = None,
        client_acts: bool = False,
        bound: bool = False,
        action: str = "retrieve",
        subject_type: str = "User",
        agent_type: str = "Agent",
        group_type: str = "Group",
        algorithms: Sequence[str] = ALGORITHMS,
        leeway: float = 0,
    ) -> None:
        # PyJWT takes an absent audience or issuer for leave not to look.
        for name, value in {"issuer": issuer, "audience": audience}.items():
            if not isinstance(value, str) or not value:
                raise InputError(f"{name} is {value!r}; a token must be held against a name")
        weak = [name for name in algorithms if name not in ALGORITHMS]
        if weak or not algorithms or isinstance(algorithms, str):
            raise InputError(f"algorithms are {algorithms!r}; they must be some of {', '.join(ALGORITHMS)}")
        self.issuer = issuer
        self.audience = audience
        self._keys = _RemoteKeys(keys) if isinstance(keys, str) else _GivenKeys(keys)
        self._algorithms = list(algorithms)
        self._scopes = frozenset([scopes] if isinstance(scopes, str) else scopes)
        self._groups = (groups,) if isinstance(groups, str) else groups
        self._properties = dict(properties)
        self._agents = agents
        self._client_acts = client_acts
        self._bound = bound
        self._action = action
        self._types = (subject_type, agent_type, group_type)
        self._leeway = leeway

    def verify(self, token: str, *, action: str | None = None) -> Verified:
        """Verifies a token. Fetches keys if it must; `averify` does so without blocking a loop.

        Raises `TokenError`, whatever is wrong.
        """
        claims = self._claims(token)
        scopes = _scopes(claims)
        missing = self._scopes - scopes
        if missing:
            raise TokenError(f"the token lacks the scopes {sorted(missing)}")
        try:
            request = Request(self._request(claims, scopes, action or self._action))
        except InputError as error:
            raise TokenError(f"the token makes no request: {error}") from error
        return Verified(request, MappingProxyType(claims), scopes)

    async def averify(self, token: str, *, action: str | None = None) -> Verified:
        """As `verify`, in a thread."""
        return await asyncio.to_thread(self.verify, token, action=action)

    def request(self, token: str, *, action: str | None = None) -> Request:
        """The request of whoever holds this token."""
        return self.verify(token, action=action).request

    async def arequest(self, token: str, *, action: str | None = None) -> Request:
        """As `request`, in a thread."""
        return (await self.averify(token, action=action)).request

    def _claims(self, token: str) -> dict[str, Any]:
        if not isinstance(token, str) or len(token) > MAX_LENGTH:
            raise TokenError(f"the token is no text of at most {MAX_LENGTH} characters")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._algorithms:
                raise TokenError(f"the token is signed with {header.get('alg')!r}")
            decoded = jwt.decode_complete(
                token,
                self._keys.find(header.get("kid")),
                algorithms=self._algorithms,
                audience=self.audience,
                issuer=self.issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, OSError, ValueError, TypeError, RecursionError) as error:
            raise TokenError(f"the token does not verify: {error}") from error
        kind = decoded["header"].get("typ")
        if kind is not None and (not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES):
            raise TokenError(f"the token is a {kind!r}")
        claims: dict[str, Any] = decoded["payload"]
        if any(isinstance(claims.get(time), (str, bool)) for time in ("exp", "nbf", "iat")):
            raise TokenError("the token's times are not numbers")
        if "cnf" in claims and not self._bound:
            raise TokenError("the token is bound to a key (`cnf`), and nothing here verifies who holds it")
        return claims

    def _request(self, claims: Mapping[str, Any], scopes: frozenset[str], action: str) -> dict[str, Any]:
        subject_type = self._types[0]
        clients = [_named(claims[name], f"`{name}`") for name in ("client_id", "azp") if name in claims]
        client = clients[0] if clients else None
        itself = claims["sub"] in clients
        actors = _chain(claims, self.issuer)
        if self._client_acts and client is not None and not itself and client not in actors:
            actors.insert(0, client)
        user = {
            "type": subject_type,
            "id": _named(claims["sub"], "`sub`"),
            "properties": {} if itself else self._taken(claims),
            "parents": [] if itself else self._parents(claims),
        }
        return {
            "subject": self._agent(claims["sub"]) if itself else user,
            "actor": [self._agent(actor) for actor in actors],
            "action": {"name": action},
            "context": {"scopes": sorted(scopes)},
        }

    def _agent(self, name: str) -> dict[str, Any]:
        agent: dict[str, Any] = {"type": self._types[1], "id": _named(name, "the agent's `sub`")}
        if self._agents is None:
            return agent
        if name not in self._agents:
            raise TokenError(f"the agent {name!r} is not known here")
        known = self._agents[name]
        return agent | {key: known[key] for key in ("properties", "parents") if key in known}

    def _taken(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        missing = [claim for claim in self._properties.values() if claims.get(claim) is None]
        if missing:
            raise TokenError(f"the token lacks the claims {missing}")
        return {name: claims[claim] for name, claim in self._properties.items()}

    def _parents(self, claims: Mapping[str, Any]) -> list[dict[str, str]]:
        if self._groups is None:
            return []
        # Microsoft's way to say that there are more groups than fit. A rule that forbids something to one of them would not apply.
        elsewhere = claims.get("_claim_names") or {}
        if claims.get("hasgroups") or not isinstance(elsewhere, Mapping) or self._groups[0] in elsewhere:
            raise TokenError("the token leaves out groups of its subject")
        found: Any = claims
        for name in self._groups:
            found = found.get(name, []) if isinstance(found, Mapping) else None
            if found == []:
                return []
        return [{"type": self._types[2], "id": group} for group in dict.fromkeys(_texts(found, "groups"))]


class _RemoteKeys:
    """The keys at a URL, without any that can only be a shared secret."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        ):
            raise InputError(f"keys are at {url!r}; whoever is on the way could replace them: use https")
        self._client = jwt.PyJWKClient(url, timeout=10)

    def find(self, kid: object) -> jwt.PyJWK:
        return self._client.get_signing_key(_named(kid, "kid"))


class _GivenKeys:
    def __init__(self, keys: Mapping[str, Any]) -> None:
        try:
            found = jwt.PyJWKSet.from_dict(dict(keys)).keys
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise InputError(f"keys are no JWKS: {error}") from error
        self._keys = {key.key_id: key for key in found if key.key_id and key.public_key_use in (None, "sig")}
        if not self._keys:
            raise InputError("keys hold none that signs and has a `kid`")

    def find(self, kid: object) -> jwt.PyJWK:
        found = self._keys.get(_named(kid, "kid"))
        if found is None:
            raise TokenError(f"no key is called {kid!r}")
        return found


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    found = claims.get("scope", claims.get("scp", []))
    return frozenset(found.split() if isinstance(found, str) else _texts(found, "scope"))


def _chain(claims: Mapping[str, Any], issuer: str) -> list[str]:
    """The agents of nested `act` claims, the one that makes the call first."""
    chain: list[str] = []
    inside: Mapping[str, Any] = claims
    while "act" in inside:
        act = inside["act"]
        if not isinstance(act, Mapping) or act.get("iss", issuer) != issuer:
            # The `sub` of another issuer may be anybody's.
            raise TokenError("`act` is no actor of this issuer")
        actor = _named(act.get("sub"), "the `sub` of `act`")
        if len(chain) == MAX_ACTORS:
            raise TokenError(f"more than {MAX_ACTORS} agents act for the subject")
        if actor not in chain:
            chain.append(actor)
        inside = act
    return chain


def _named(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise TokenError(f"{what} is {value!r}, which names nothing")
    return value


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise TokenError(f"{what} is no list of texts")
    return [str(text) for text in value]
