"""Rewrites in every language."""

from __future__ import annotations

from typing import get_args

import pytest

import tamis
from conftest import ALICE, NOBODY


@pytest.mark.parametrize("dialect", get_args(tamis.Dialect))
def test_every_dialect_translates_and_explains(policy: tamis.Policy, dialect: tamis.Dialect) -> None:
    rewrite = policy.rewrite(ALICE)
    translation = rewrite.translate(dialect)
    assert translation.native and translation.dialect == dialect
    assert translation.exact == (rewrite.exact and not translation.widened)
    assert dialect in rewrite.explain(dialect)


def test_a_rewrite_says_what_it_is(policy: tamis.Policy) -> None:
    rewrite = policy.rewrite(ALICE, k=5, collection="docs")
    assert rewrite.exact and not rewrite.never and not rewrite.always
    assert ("tenant",) in rewrite.needs and rewrite.partial == [] and rewrite.errors == []
    assert rewrite.matches({"id": "a", "attributes": {"tenant": "acme", "level": 1}})
    assert rewrite.matches({"attributes": {"tenant": "acme", "level": 1}})
    assert not rewrite.matches(tamis.Chunk("a", {"tenant": "globex", "level": 1}))
    assert (
        "Nothing can be allowed"
        in tamis.Policy.compile("forbid(principal, action, resource);").rewrite(NOBODY).explain()
    )


def test_a_map_of_fields_says_where_attributes_are(policy: tamis.Policy) -> None:
    fields = {"attributes": [{"attr": ["level"], "field": ["metadata", "level"]}]}
    assert "metadata.level" in str(policy.rewrite(ALICE).translate("qdrant", fields).native)
    for bad, message in [
        ({"attribute": []}, "attribute"),
        ({"attributes": [{"attr": [], "field": ["x"]}]}, "empty path"),
        (3, "int"),
    ]:
        with pytest.raises(tamis.InputError, match=message):
            policy.rewrite(ALICE).translate("qdrant", bad)  # type: ignore[arg-type]
    with pytest.raises(tamis.InputError, match=f"`oracle` is none of {', '.join(get_args(tamis.Dialect))}$"):
        policy.rewrite(ALICE).translate("oracle")  # type: ignore[arg-type]
    for k in (-1, 2**32):
        with pytest.raises(OverflowError):
            policy.rewrite(ALICE, k=k)


def test_the_admit_gate_says_why() -> None:
    policy = tamis.Policy.compile(
        """
        @id("tenants") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
        @id("clearance") permit(principal, action == Action::"retrieve", resource) when { resource.level <= principal.clearance };
        @id("index") permit(principal is Service, action == Action::"index", resource);
        """
    )
    service = {
        "subject": {"type": "Service", "id": "ingest", "properties": {"tenant": "acme"}},
        "action": {"name": "retrieve"},
    }
    whole = {"tenant": "acme", "level": 1, "kind": "page", "agent_usable": True}
    chunks = [
        {"id": "a", "attributes": whole},
        {"id": "b", "attributes": {**whole, "tenant": "globex"}},
        {"id": "c", "attributes": {"tenant": "acme"}},
        {"id": "d", "attributes": {**whole, "level": b"x"}},
    ]
    admitted, denied, unreadable, odd = policy.admit(service, chunks)
    assert admitted and admitted.faults == [] and admitted.decision is None
    assert not denied and denied.decision is not None and denied.decision.reasons == ["tenants"]
    assert not unreadable and any("level" in fault for fault in unreadable.faults)
    assert not odd and "bytes" in odd.faults[0]
