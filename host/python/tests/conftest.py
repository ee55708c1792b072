"""What the tests share: a policy, people, documents, and an embedding that needs no model."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import pytest

import tamis

POLICY = """
@id("clearance")
permit(principal, action == Action::"retrieve", resource)
when { resource.tenant == principal.tenant && resource.level <= principal.clearance };

@id("hr") @redact("salary, text")
permit(principal in Group::"hr", action == Action::"retrieve", resource)
when { resource.tenant == principal.tenant && resource.kind == "person" };

@id("agents")
forbid(principal is Agent, action == Action::"retrieve", resource)
unless { resource has agent_usable && resource.agent_usable };

@id("index")
permit(principal is Service, action == Action::"index", resource);
"""

DIMENSIONS = 64


def embed(text: str) -> list[float]:
    """Words, hashed into a vector of length 1. Texts that share words are near each other."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        vector[hashlib.blake2b(word.encode(), digest_size=2).digest()[0] % DIMENSIONS] += 1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [1.0] + vector[1:]


def person(name: str, tenant: str, clearance: int, *groups: str, actor: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request, in the form of a login that an application has verified."""
    return {
        "subject": {
            "type": "User",
            "id": name,
            "properties": {"tenant": tenant, "clearance": clearance},
            "parents": [{"type": "Group", "id": group} for group in groups],
        },
        "actor": [actor] if actor else [],
        "action": {"name": "retrieve"},
        "context": {},
    }


COPILOT = {"type": "Agent", "id": "copilot", "properties": {"tenant": "acme", "clearance": 9}}

ALICE = person("alice", "acme", 3)
BOB = person("bob", "acme", 1)
CAROL = person("carol", "globex", 3)
HELEN = person("helen", "acme", 0, "hr")
AGENT = person("alice", "acme", 3, actor=COPILOT)
NOBODY = person("nobody", "none", -1)

SECRET = "zanzibar"
"""A word in every text that not everybody may read."""


def documents(count: int = 60) -> list[tuple[str, dict[str, Any]]]:
    """Texts with their metadata. Half are of `globex`. At `acme` one in six is open to all, and the rest, which a search finds first, to
    those with clearance 2. There are also persons, whose salaries nobody but the boss may see."""
    made: list[tuple[str, dict[str, Any]]] = []
    for number in range(count):
        tenant = ("acme", "globex")[number % 2]
        level = 0 if number % 6 == 0 else 2
        text = f"vacuum page {number}" + (
            f" vacuum {SECRET}" if level or tenant != "acme" else " about the weather and other things"
        )
        made.append(
            (
                text,
                {"tenant": tenant, "level": level, "kind": "page", "agent_usable": number % 12 == 0, "number": number},
            )
        )
    for number, name in enumerate(("ann", "ben")):
        text = f"person {name} {SECRET}"
        made.append((text, {"tenant": "acme", "level": 9, "kind": "person", "salary": 1000 + number, "name": name}))
    return made


def allowed(request: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """The policy once more, in Python."""
    properties = request["subject"]["properties"]
    if metadata.get("tenant") != properties["tenant"]:
        return False
    if request["actor"] and metadata.get("agent_usable") is not True:
        return False
    groups = {parent["id"] for parent in request["subject"]["parents"]}
    cleared = "level" in metadata and metadata["level"] <= properties["clearance"]
    return cleared or (not request["actor"] and "hr" in groups and metadata.get("kind") == "person")


@pytest.fixture(scope="session")
def policy() -> tamis.Policy:
    return tamis.Policy.compile(POLICY)


def similarity(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def best(request: dict[str, Any], query: str, k: int, made: list[tuple[str, dict[str, Any]]]) -> list[float]:
    """How near the k nearest allowed documents are, by looking at all of them."""
    near = [similarity(embed(query), embed(text)) for text, metadata in made if allowed(request, metadata)]
    return sorted(near, reverse=True)[:k]
