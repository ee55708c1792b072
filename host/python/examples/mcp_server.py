"""A guarded MCP server: `pip install "tamis[mcp]"`, then `python mcp_server.py`. See `mcp_client.py` for who may ask it."""

import os
import re

import tamis
from tamis.mcp import add_search, server
from tamis.tokens import TokenVerifier

ISSUER = os.environ.get("ISSUER", "https://id.example")
URL = os.environ.get("URL", "http://127.0.0.1:8000/mcp")
KEYS = os.environ.get("KEYS", f"{ISSUER}/.well-known/jwks.json")

# What your vector database would hold.
PAGES = [
    tamis.Chunk("menu", {"team": "all", "agents": True}, "The menu of the canteen: soup."),
    tamis.Chunk("salaries", {"team": "hr", "agents": False}, "The salaries of everybody in the canteen."),
    tamis.Chunk("address", {"team": "all", "agents": True}, "The address of the canteen: Mill Lane."),
    tamis.Chunk("rota", {"team": "hr", "agents": True}, "The rota of the canteen: Ann, then Ben."),
]

POLICY = tamis.Policy.compile("""
permit(principal is User, action, resource) when { resource.team == "all" };
permit(principal in Group::"hr", action, resource) when { resource.team == "hr" };
permit(principal is Agent, action, resource) when { resource.agents };
""")


def search(query: str, wanted: int, rewrite: tamis.Rewrite) -> list[tamis.Chunk]:
    """Your own search: a real one gives `rewrite.to("qdrant")`, or whatever it is, to the database."""
    words = set(re.findall(r"\w+", query.lower()))
    return sorted(PAGES, key=lambda page: -len(words & set(re.findall(r"\w+", (page.text or "").lower()))))[:wanted]


verifier = TokenVerifier(ISSUER, audience=URL, keys=KEYS)
docs = server("canteen", verifier, url=URL)
add_search(docs, POLICY, search)

if __name__ == "__main__":
    docs.run("streamable-http", port=int(URL.split(":")[-1].split("/")[0]))
