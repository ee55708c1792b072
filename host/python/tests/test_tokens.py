"""Tokens: what becomes of one that verifies, and everything that must not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import tamis
from tamis.tokens import TokenError, TokenVerifier

ISSUER = "https://id.example"
AUDIENCE = "https://docs.example/mcp"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str | None, **more: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    named = {} if kid is None else {"kid": kid}
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), **named, **more}


JWKS = {"keys": [jwk(RSA, "r1", alg="RS256", use="sig"), jwk(EC, "e1", use="sig"), jwk(OTHER_RSA, "enc", use="enc")]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600, "groups": ["hr"], **changes}
    return {name: value for name, value in made.items() if value is not ...}


def signed(
    key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r1", typ: str | None = "at+jwt", **changes: Any
) -> str:
    headers = {"typ": typ} | ({} if kid is None else {"kid": kid})
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def signed_bytes(payload: bytes) -> str:
    return jwt.PyJWS().encode(payload, RSA, "RS256", {"kid": "r1"})


def raw(header: dict[str, Any], payload: dict[str, Any] | bytes, signature: bytes = b"") -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (json.dumps(header).encode(), body, signature)
    )


def verifier(**changes: Any) -> TokenVerifier:
    return TokenVerifier(ISSUER, **{"audience": AUDIENCE, "keys": JWKS, **changes})


def made(token: str, **changes: Any) -> tamis.Request:
    return verifier(**changes).request(token)


def user(name: str = "alice", **more: Any) -> dict[str, Any]:
    return {"type": "User", "id": name, **more}


def expected(
    subject: dict[str, Any], *actors: str | dict[str, Any], scopes: tuple[str, ...] = (), action: str = "retrieve"
) -> tamis.Request:
    chain = [{"type": "Agent", "id": actor} if isinstance(actor, str) else actor for actor in actors]
    return tamis.Request(
        {"subject": subject, "actor": chain, "action": {"name": action}, "context": {"scopes": list(scopes)}}
    )


HR = {"parents": [{"type": "Group", "id": "hr"}]}


def test_a_token_becomes_a_request() -> None:
    token = signed(scope="retrieve profile", act={"sub": "copilot", "act": {"sub": "planner", "iss": ISSUER}})
    verified = verifier(scopes=["retrieve"]).verify(token)
    assert verified.request == expected(user(**HR), "copilot", "planner", scopes=("profile", "retrieve"))
    assert verified.request.actors == [("Agent", "copilot"), ("Agent", "planner")]
    assert verified.scopes == {"retrieve", "profile"}
    assert verified.claims["sub"] == "alice"
    with pytest.raises(TypeError):
        verified.claims["sub"] = "bob"  # type: ignore[index]


@pytest.mark.parametrize(
    ("token", "changes", "request_"),
    [
        pytest.param(signed(EC, "ES256", "e1"), {}, expected(user(**HR)), id="elliptic curve"),
        pytest.param(signed(typ="JWT"), {}, expected(user(**HR)), id="typ JWT"),
        pytest.param(signed(typ=None), {}, expected(user(**HR)), id="no typ"),
        pytest.param(signed(typ="application/at+JWT"), {}, expected(user(**HR)), id="typ as a media type"),
        pytest.param(signed(aud=["other", AUDIENCE]), {}, expected(user(**HR)), id="one of several audiences"),
        pytest.param(signed(scp=["a", "b"]), {}, expected(user(**HR), scopes=("a", "b")), id="scp as a list"),
        pytest.param(signed(groups=...), {}, expected(user()), id="no groups"),
        pytest.param(signed(groups=["hr", "hr"]), {}, expected(user(**HR)), id="a group twice"),
        pytest.param(signed(groups=["hr"]), {"groups": None}, expected(user()), id="groups not taken"),
        pytest.param(
            signed(realm_access={"roles": ["hr"]}),
            {"groups": ("realm_access", "roles")},
            expected(user(**HR)),
            id="groups in a path",
        ),
        pytest.param(
            signed(tid="acme", level=3),
            {"properties": {"tenant": "tid", "clearance": "level"}},
            expected(user(**HR, properties={"tenant": "acme", "clearance": 3})),
            id="properties",
        ),
        pytest.param(
            signed(act={"sub": "copilot"}),
            {"agents": {"copilot": {"properties": {"level": 1}, "id": "root"}}},
            expected(user(**HR), {"type": "Agent", "id": "copilot", "properties": {"level": 1}}),
            id="an agent that is known",
        ),
        pytest.param(
            signed(act={"sub": "a", "act": {"sub": "a"}}), {}, expected(user(**HR), "a"), id="an agent twice in a row"
        ),
        pytest.param(signed(azp="app"), {}, expected(user(**HR)), id="a client is no agent"),
        pytest.param(signed(azp="app"), {"client_acts": True}, expected(user(**HR), "app"), id="unless clients act"),
        pytest.param(
            signed(client_id="app", act={"sub": "app"}),
            {"client_acts": True},
            expected(user(**HR), "app"),
            id="a client that acts is named once",
        ),
        pytest.param(signed(), {"action": "index"}, expected(user(**HR), action="index"), id="another action"),
        pytest.param(
            signed(cnf={"jkt": "x"}), {"bound": True}, expected(user(**HR)), id="bound, and verified elsewhere"
        ),
        pytest.param(signed(exp=int(time.time()) - 5), {"leeway": 3600}, expected(user(**HR)), id="within the leeway"),
    ],
)
def test_requests(token: str, changes: dict[str, Any], request_: tamis.Request) -> None:
    assert made(token, **changes) == request_


def test_a_client_that_acts_for_itself_is_an_agent_and_never_a_user_of_that_name() -> None:
    request = made(signed(sub="alice", client_id="alice"), client_acts=True)
    assert request.subject == ("Agent", "alice")
    assert request.actors == []
    assert made(signed(sub="alice", client_id="app", azp="alice")).subject == ("Agent", "alice")
    with pytest.raises(TokenError, match="not known"):
        made(signed(sub="alice", client_id="alice"), agents={})


PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def confused() -> str:
    """Signed with the public key, as if it were a shared secret."""
    unsigned = raw({"alg": "HS256", "typ": "JWT", "kid": "r1"}, claims()).rsplit(".", 1)[0]
    signature = hmac.new(PUBLIC_PEM, unsigned.encode(), hashlib.sha256).digest()
    return unsigned + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def tampered() -> str:
    head, _, signature = signed().split(".")
    return ".".join(
        [head, base64.urlsafe_b64encode(json.dumps(claims(sub="root")).encode()).rstrip(b"=").decode(), signature]
    )


def now() -> int:
    """Asked when a test runs, not when it is collected."""
    return int(time.time())


REFUSED: list[tuple[str, Callable[[], str], dict[str, Any]]] = [
    ("alg none", lambda: raw({"alg": "none", "typ": "JWT", "kid": "r1"}, claims()), {}),
    ("alg None, in capitals", lambda: raw({"alg": "NoNe", "typ": "JWT", "kid": "r1"}, claims()), {}),
    ("alg missing", lambda: raw({"typ": "JWT", "kid": "r1"}, claims()), {}),
    ("alg is a list", lambda: raw({"alg": ["RS256"], "kid": "r1"}, claims()), {}),
    ("the public key as a shared secret", confused, {}),
    ("no signature", lambda: signed().rsplit(".", 1)[0] + ".", {}),
    ("claims exchanged", tampered, {}),
    ("signed by somebody else", lambda: signed(OTHER_RSA), {}),
    ("key unknown", lambda: signed(kid="r2"), {}),
    ("key unnamed", lambda: signed(kid=None), {}),
    ("key for encryption", lambda: signed(OTHER_RSA, kid="enc"), {}),
    ("key of another algorithm", lambda: signed(RSA, "PS256"), {}),
    ("algorithm not wanted", lambda: signed(EC, "ES256", "e1"), {"algorithms": ["RS256"]}),
    (
        "key in the header",
        lambda: jwt.encode(claims(), OTHER_RSA, "RS256", {"jwk": jwk(OTHER_RSA, "r1"), "kid": "mine"}),
        {},
    ),
    ("critical extension", lambda: jwt.encode(claims(), RSA, "RS256", {"kid": "r1", "crit": ["exp"], "exp": 1}), {}),
    ("expired", lambda: signed(exp=now() - 1), {}),
    ("no expiry", lambda: signed(exp=...), {}),
    ("expiry is a text", lambda: signed(exp=str(now() + 300)), {}),
    ("expiry is true", lambda: signed(exp=True), {"leeway": 10**10}),
    (
        "expiry is infinite",
        lambda: signed_bytes(json.dumps(claims(exp=1)).replace('"exp": 1', '"exp": 1e999').encode()),
        {},
    ),
    ("expiry is not a number", lambda: signed_bytes(json.dumps(claims(exp=float("nan"))).encode()), {}),
    ("not yet valid", lambda: signed(nbf=now() + 60), {}),
    ("issued in the future", lambda: signed(iat=now() + 60), {}),
    ("other audience", lambda: signed(aud="https://mail.example"), {}),
    ("audience that contains ours", lambda: signed(aud=AUDIENCE + "/x"), {}),
    ("no audience", lambda: signed(aud=...), {}),
    ("empty audience", lambda: signed(aud=[]), {}),
    ("other issuer", lambda: signed(iss="https://evil.example"), {}),
    ("issuer with a slash more", lambda: signed(iss=ISSUER + "/"), {}),
    ("no issuer", lambda: signed(iss=...), {}),
    ("no subject", lambda: signed(sub=...), {}),
    ("empty subject", lambda: signed(sub=""), {}),
    ("subject is a number", lambda: signed_bytes(json.dumps(claims(sub=1)).encode()), {}),
    ("subject is a list", lambda: signed_bytes(json.dumps(claims(sub=["alice"])).encode()), {}),
    ("claims are a list", lambda: signed_bytes(b"[]"), {}),
    ("client is a list", lambda: signed(client_id=["app"]), {}),
    ("logout token", lambda: signed(typ="logout+jwt"), {}),
    ("bound to a key", lambda: signed(cnf={"jkt": "x"}), {}),
    ("scope missing", lambda: signed(scope="profile"), {"scopes": ["retrieve"]}),
    ("part of a scope", lambda: signed(scope="retrieve:none"), {"scopes": ["retrieve"]}),
    ("scopes are numbers", lambda: signed(scope=[1]), {}),
    ("groups are a text", lambda: signed(groups="hr"), {}),
    ("groups are objects", lambda: signed(groups=[{"id": "hr"}]), {}),
    ("groups are elsewhere", lambda: signed(groups=..., _claim_names={"groups": "src1"}), {}),
    ("too many groups to say", lambda: signed(groups=..., hasgroups=True), {}),
    ("property missing", lambda: signed(), {"properties": {"tenant": "tid"}}),
    ("agent of another issuer", lambda: signed(act={"sub": "copilot", "iss": "https://evil.example"}), {}),
    ("agent without a name", lambda: signed(act={"client": "copilot"}), {}),
    ("agent is a text", lambda: signed(act="copilot"), {}),
    ("agent is null", lambda: signed(act=None), {}),
    ("agent behind an agent without a name", lambda: signed(act={"sub": "a", "act": {}}), {}),
    ("agent not known", lambda: signed(act={"sub": "stranger"}), {"agents": {"copilot": {}}}),
    ("no text", lambda: b"abc", {}),  # type: ignore[list-item, return-value]
    ("no token", lambda: "abc", {}),
    ("empty", lambda: "", {}),
    ("not of ASCII", lambda: "é.é.é", {}),
    ("encrypted", lambda: "a.b.c.d.e", {}),
    ("too long", lambda: signed(pad="x" * 40_000), {}),
    ("nested without end", lambda: signed_bytes(b'{"a":' * 4000), {}),
]


@pytest.mark.parametrize(
    ("token", "changes"), [(token, changes) for _, token, changes in REFUSED], ids=[name for name, _, _ in REFUSED]
)
def test_refused(token: Callable[[], str], changes: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        made(token(), **changes)


def chain(length: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "agent0"}
    for number in range(1, length):
        act = {"sub": f"agent{number}", "act": act}
    return act


def test_a_chain_has_an_end() -> None:
    assert len(made(signed(act=chain(8))).actors) == 8
    with pytest.raises(TokenError, match="more than 8"):
        made(signed(act=chain(9)))


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""},
        {"audience": None},
        {"audience": [AUDIENCE]},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["RS256", "HS256"]},
        {"algorithms": "RS256"},
        {"keys": {"keys": []}},
        {"keys": {}},
        {"keys": {"keys": [jwk(RSA, None)]}},
        {"keys": {"keys": [jwk(RSA, "r1", use="enc")]}},
        {"keys": "http://id.example/jwks.json"},
        {"keys": "file:///etc/passwd"},
    ],
    ids=repr,
)
def test_a_verifier_that_would_take_too_much_is_not_made(changes: dict[str, Any]) -> None:
    with pytest.raises(tamis.InputError):
        verifier(**changes)


def test_no_issuer_is_no_verifier() -> None:
    with pytest.raises(tamis.InputError):
        TokenVerifier("", audience=AUDIENCE, keys=JWKS)


def test_a_secret_among_the_keys_verifies_nothing() -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    keys = {"keys": [{"kty": "oct", "k": secret, "kid": "s1"}, *JWKS["keys"]]}
    with pytest.raises(TokenError):
        made(jwt.encode(claims(), b"s" * 32, "HS256", {"kid": "s1"}), keys=keys)


class Served:
    """A JWKS that is served, and how often."""

    def __init__(self) -> None:
        self.keys: Any = JWKS
        self.asked = 0
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked += 1
                if served.keys is None:
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(served.keys if isinstance(served.keys, bytes) else json.dumps(served.keys).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_keys_from_a_url_are_fetched_once(served: Served) -> None:
    remote = verifier(keys=served.url)
    assert served.asked == 0
    assert remote.request(signed()) == remote.request(signed(EC, "ES256", "e1")) == expected(user(**HR))
    assert served.asked == 1
    for _ in range(5):
        with pytest.raises(TokenError):
            remote.request(signed(kid="made-up"))
    assert served.asked == 1, "tokens with keys that nobody has must not make us ask again and again"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"{}", b'{"keys":[{}]}', b"\xff", None], ids=repr)
def test_keys_that_cannot_be_had_deny(served: Served, answer: bytes | None) -> None:
    served.keys = answer
    with pytest.raises(TokenError):
        verifier(keys=served.url).request(signed())


def test_a_url_that_nobody_serves_denies() -> None:
    with pytest.raises(TokenError):
        verifier(keys="http://127.0.0.1:9/jwks.json").request(signed())


async def test_async(served: Served) -> None:
    remote = verifier(keys=served.url)
    assert await remote.arequest(signed()) == expected(user(**HR))
    with pytest.raises(TokenError):
        await remote.arequest(signed(aud="other"))


def test_a_token_is_no_secret_in_the_error() -> None:
    with pytest.raises(TokenError) as refusal:
        made(tampered())
    assert tampered().split(".")[2] not in str(refusal.value)
