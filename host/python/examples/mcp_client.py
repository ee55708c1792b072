"""Runs `mcp_server.py` and an issuer of tokens beside it, and asks as three people: `python mcp_client.py`."""

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWKS = {"keys": [{**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig"}]}


class Keys(http.server.BaseHTTPRequestHandler):
    """What an issuer of tokens serves."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(JWKS).encode())

    def log_message(self, format: str, *args: Any) -> None: ...


def token(issuer: str, url: str, **claims: Any) -> str:
    """What an issuer of tokens hands out after a login."""
    now = int(time.time())
    body = {"iss": issuer, "aud": url, "iat": now, "exp": now + 60, **claims}
    return jwt.encode(body, KEY, "RS256", {"kid": "k1", "typ": "at+jwt"})


async def ask(url: str, bearer: str) -> list[str]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http_client,
        Client(streamable_http_client(url, http_client=http_client)) as client,
    ):
        result = await client.call_tool("search", {"query": "What do they earn in the canteen?"})
        return sorted(passage["id"] for passage in (result.structured_content or {})["result"])


def main() -> None:
    issuer_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=issuer_server.serve_forever, daemon=True).start()
    issuer = f"http://127.0.0.1:{issuer_server.server_port}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/mcp"
    command = [sys.executable, str(Path(__file__).parent / "mcp_server.py")]
    with subprocess.Popen(
        command, env={**os.environ, "ISSUER": issuer, "URL": url, "KEYS": f"{issuer}/jwks"}
    ) as running:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            people: dict[str, dict[str, Any]] = {
                "bob": {"sub": "bob"},
                "helen, of hr": {"sub": "helen", "groups": ["hr"]},
                "an agent for helen": {"sub": "helen", "groups": ["hr"], "act": {"sub": "copilot"}},
            }
            for name, claims in people.items():
                found = asyncio.run(ask(url, token(issuer, url, **claims)))
                print(f"{name}: {', '.join(found)}")
            stray = token(issuer, "https://mail.example", sub="helen", groups=["hr"])
            refused = httpx2.post(url, json={}, headers={"Authorization": f"Bearer {stray}"})
            print(f"a token for another server: {refused.status_code}")
        finally:
            running.terminate()


if __name__ == "__main__":
    main()
