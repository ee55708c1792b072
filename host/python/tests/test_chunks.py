"""What Python hands in as chunks: read as JSON would be, or denied with a reason."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import re
import types
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tamis
from conftest import ALICE, HELEN

POLICY = """
@id("tenants") forbid(principal, action, resource) unless { resource has tenant && resource.tenant == principal.tenant };
@id("clearance") permit(principal, action, resource) when { resource.level <= principal.clearance };
@id("hr") permit(principal in Group::"hr", action, resource) when { resource.kind == "person" };
"""
READABLE = {"tenant": "acme", "level": 1}


@pytest.fixture(scope="module")
def policy() -> tamis.Policy:
    return tamis.Policy.compile(POLICY)


def decided(policy: tamis.Policy, attributes: Any) -> tamis.Decision:
    (decision,) = policy.decide(ALICE, [{"id": "c", "attributes": attributes}])
    return decision


NO_MAPPINGS = ['{"secret": true}', [("secret", True)], True, dataclasses.make_dataclass("Row", ["secret"])(True)]


@pytest.mark.parametrize("attributes", NO_MAPPINGS, ids=lambda value: type(value).__name__)
def test_attributes_that_nobody_has_parsed_are_not_taken_for_none(attributes: Any) -> None:
    lenient = tamis.Policy.compile("permit(principal, action, resource) unless { resource has secret };")
    (decision,) = lenient.decide(ALICE, [{"id": "a", "attributes": attributes}])
    assert not decision and "attributes: is a" in decision.errors[0][1]
    assert lenient.filter(ALICE, [{"id": "a", "attributes": attributes}]) == []
    (admission,) = lenient.admit(ALICE, [{"id": "a", "attributes": attributes}])
    assert not admission


def test_parents_are_a_list_that_can_be_read_twice() -> None:
    policy = tamis.Policy.compile(
        'permit(principal, action, resource); forbid(principal, action, resource in Folder::"hr");'
    )
    folder = {"type": "Folder", "id": "hr"}
    for parents in [(folder for _ in "x"), "", {}, {"type": "Folder"}, iter([folder])]:
        chunk = {"id": "a", "attributes": {}, "parents": parents}
        assert policy.filter(ALICE, [chunk]) == policy.filter(ALICE, [chunk]) == []
    assert policy.filter(ALICE, [{"id": "a", "attributes": {}, "parents": [folder]}]) == []
    assert len(policy.filter(ALICE, [{"id": "a", "attributes": {}, "parents": []}])) == 1


def test_what_changes_while_it_is_read_is_no_panic(policy: tamis.Policy) -> None:
    changing: dict[str, Any] = {}

    class Growing(list[Any]):
        def __iter__(self) -> Any:
            changing.update({str(len(changing) + number): 1 for number in range(100)})
            return super().__iter__()

    changing.update(a=Growing([1]), b=Growing([2]))
    decision = decided(policy, {"tenant": "acme", "level": changing})
    assert not decision


def test_one_chunk_that_is_too_large_does_not_keep_others_from_being_decided_on(policy: tamis.Policy) -> None:
    large = {"id": "a", "attributes": {"tenant": "a" * (5 << 20), "level": 1}}
    small = {"id": "b", "attributes": READABLE}
    assert policy.filter(ALICE, [large, small]) == [small]
    assert "limit" in policy.decide(ALICE, [large])[0].errors[0][1]


def test_texts_of_columns_are_looked_at(policy: tamis.Policy) -> None:
    odd = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    with pytest.raises(tamis.InputError, match="tenant"):
        policy.decide(ALICE, pa.table({"id": ["a"], "tenant": odd, "level": [1]}))


@dataclasses.dataclass
class Document:
    id: str
    attributes: dict[str, Any]


def test_mappings_dataclasses_and_objects_are_chunks(policy: tamis.Policy) -> None:
    chunks: list[Any] = [
        {"id": "a", "attributes": READABLE},
        types.MappingProxyType({"id": "a", "attributes": types.MappingProxyType(READABLE)}),
        tamis.Chunk("a", READABLE),
        Document("a", READABLE),
        types.SimpleNamespace(id="a", attributes=READABLE),
    ]
    assert policy.filter(ALICE, chunks) == chunks
    assert policy.filter(ALICE, iter(chunks)) == chunks  # type: ignore[arg-type]
    assert all(handed_out is chunk for handed_out, chunk in zip(policy.filter(ALICE, chunks), chunks, strict=True))


@pytest.mark.parametrize("chunk", ["text", 3, None, {}, {"tenant": "acme"}, {"id": "a", "attributes": None}])
def test_what_is_no_chunk_is_an_error(policy: tamis.Policy, chunk: Any) -> None:
    with pytest.raises(tamis.InputError, match="chunk 1 *:? *is a .* without `attributes`"):
        policy.filter(ALICE, [{"id": "a", "attributes": READABLE}, chunk])


@pytest.mark.parametrize("value", [1, np.int64(1), np.int8(1), np.uint64(1), np.array(1)])
def test_whole_numbers_of_numpy_are_numbers(policy: tamis.Policy, value: Any) -> None:
    assert decided(policy, {"tenant": np.str_("acme"), "level": value})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"1", "attributes.level: is a bytes, which metadata has not"),
        (bytearray(b"1"), "bytearray"),
        (datetime.datetime(2026, 1, 1), "datetime"),
        (decimal.Decimal(1), "Decimal"),
        (uuid.UUID(int=1), "UUID"),
        (complex(1), "complex"),
        (np.datetime64("2026-01-01"), "attributes.level: is a"),
        (pd.Timestamp("2026-01-01"), "Timestamp"),
        (pd.NA, "NAType"),
        (object(), "object"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (np.float32("nan"), "not finite"),
        ([1, {2, b"x"}], r"attributes\.level\[1\]\[\d\]: is a bytes"),
        ({"a": {"b": b"x"}}, r"attributes\.level\.a\.b: is a bytes"),
        ({1: 2}, "key that is a int"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_values_that_json_has_not_deny_the_chunk_and_say_where(policy: tamis.Policy, value: Any, reason: str) -> None:
    decision = decided(policy, {"tenant": "acme", "level": value})
    assert not decision
    ((rule, message),) = decision.errors
    assert rule == ""
    assert re.search(reason, message), message
    # It denies nothing else.
    assert (
        len(policy.filter(ALICE, [{"id": "a", "attributes": READABLE}, {"id": "b", "attributes": {"level": value}}]))
        == 1
    )


def test_what_holds_itself_denies(policy: tamis.Policy) -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    decision = decided(policy, {"tenant": "acme", "level": endless})
    assert not decision and "holds itself" in decision.errors[0][1]


def test_what_the_policy_does_not_read_is_not_looked_at(policy: tamis.Policy) -> None:
    assert decided(policy, {**READABLE, "blob": b"x", "when": datetime.datetime(2026, 1, 1)})


class Hostile(dict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("no")

    def get(self, name: str, default: Any = None) -> Any:
        raise RuntimeError("no")


def test_mappings_of_any_kind_are_read_as_what_they_hold(policy: tamis.Policy) -> None:
    assert decided(policy, Hostile(READABLE))

    class Failing(types.SimpleNamespace):
        @property
        def attributes(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        policy.filter(ALICE, [Failing(id="a")])


def test_types_tags_parents_and_ids_are_read() -> None:
    policy = tamis.Policy.compile(
        """
        @id("type") permit(principal, action, resource is Note);
        @id("folder") permit(principal, action, resource in Folder::"f");
        @id("tag") permit(principal, action, resource) when { resource.hasTag("t") && resource.getTag("t") == 1 };
        @id("id") permit(principal, action, resource == Chunk::"7");
        """
    )

    def reasons(**chunk: Any) -> list[str]:
        (decision,) = policy.decide(ALICE, [{"attributes": {}, **chunk}], explain=True)
        return decision.reasons

    assert reasons(id="a", type="Note") == ["type"]
    assert reasons(id="a", parents=[{"type": "Folder", "id": "f"}]) == ["folder"]
    assert reasons(id="a", tags={"t": 1}) == ["tag"]
    assert reasons(id="7") == ["id"] and reasons(id=7) == ["id"]
    for chunk, message in [
        ({}, "id: is missing"),
        ({"id": None}, "id: is missing"),
        ({"id": 1.5}, "id: is a float, not a text"),
        ({"id": True}, "id: is a bool, not a text"),
        ({"id": "a", "type": 1}, "type: is a int, not a text"),
        ({"id": "a", "parents": [{"type": "Folder"}]}, r"parents[0]: has no `id`"),
        ({"id": "a", "parents": 3}, "parents"),
        ({"id": "a", "tags": [1]}, "tags: is a list, not a mapping"),
    ]:
        for explain in (False, True):
            (decision,) = policy.decide(ALICE, [{"attributes": {}, **chunk}], explain=explain)
            assert not decision and message in decision.errors[0][1], chunk


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ('forbid(principal, action, resource in Folder::"secret");', "ancestors"),
        ('forbid(principal, action, resource) when { resource.hasTag("secret") };', "tags"),
    ],
)
def test_a_table_says_nothing_of_ancestors_and_tags(rule: str, what: str) -> None:
    policy = tamis.Policy.compile("permit(principal, action, resource); " + rule)
    table = pa.table({"id": ["a"], "level": [1]})
    with pytest.raises(tamis.InputError, match=what):
        policy.decide(ALICE, table)
    assert policy.decide(ALICE, [{"id": "a", "attributes": {}}])[0].allow


def test_ids_do_not_matter_to_a_policy_that_reads_none(policy: tamis.Policy) -> None:
    """Decisions go by position: chunks without ids, or with the same, are decided each on its own."""
    denied = {"tenant": "globex", "level": 1}
    chunks: list[dict[str, Any]] = [
        {"id": "x", "attributes": denied},
        {"id": "x", "attributes": READABLE},
        {"id": None, "attributes": denied},
        {"attributes": READABLE},
    ]
    assert policy.filter(ALICE, chunks) == [chunks[1], chunks[3]]


REDACTING = '@redact("salary, pay.base, text") permit(principal, action, resource) when { resource.kind == "person" };'


def test_what_is_redacted_is_not_in_what_is_handed_out() -> None:
    policy = tamis.Policy.compile(REDACTING)
    attributes = {"kind": "person", "salary": 1, "pay": {"base": 1, "since": 2020}, "name": "ann"}
    left = {"kind": "person", "pay": {"since": 2020}, "name": "ann"}
    before = repr(attributes)
    mapping = {"id": "a", "attributes": attributes, "text": "secret"}
    assert policy.filter(ALICE, [mapping]) == [{"id": "a", "attributes": left}]
    assert policy.filter(ALICE, [tamis.Chunk("a", attributes, "secret")]) == [tamis.Chunk("a", left, None)]
    assert repr(attributes) == before
    (decision,) = policy.decide(ALICE, [mapping])
    assert decision.redacted == [("pay", "base"), ("salary",), ("text",)] and decision.redacts_text
    for hidden in ([{"base": 1}], types.SimpleNamespace(base=1), '{"base": 1}'):
        (chunk,) = policy.filter(ALICE, [{"id": "a", "attributes": {"kind": "person", "pay": hidden}}])
        assert chunk["attributes"] == {"kind": "person"}
    (chunk,) = policy.filter(ALICE, [{"id": "a", "attributes": {"kind": "person", "pay.base": 1}}])
    assert chunk["attributes"] == {"kind": "person"}
    with pytest.raises(TypeError, match="SimpleNamespace"):
        policy.filter(ALICE, [types.SimpleNamespace(id="a", attributes=attributes)])


VALUES = st.sampled_from(
    ["acme", "globex", "person", "", 0, 1, 3, 4, -1, 2**63 - 1, 2**70, 1.0, 1.5, True, False, None, [1], {"a": 1}, []]
)
METADATA = st.fixed_dictionaries({}, optional={name: VALUES for name in ("tenant", "level", "kind", "agent_usable")})


def by_the_book(request: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """The policy of these tests as Cedar defines it: what cannot be compared makes a rule fail, and a rule that fails does nothing."""
    present = {name: value for name, value in metadata.items() if value is not None}
    properties = request["subject"]["properties"]
    tenant = present.get("tenant")
    # A number that is no whole one of 64 bits cannot be read, so that the forbidding rule fails.
    if readable(tenant) and not same(tenant, properties["tenant"]):
        return False
    level = present.get("level")
    is_long = isinstance(level, int) and not isinstance(level, bool) and readable(level)
    cleared = is_long and level <= properties["clearance"]
    groups = {parent["id"] for parent in request["subject"]["parents"]}
    return cleared or ("hr" in groups and same(present.get("kind"), "person"))


def readable(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return not is_number or (isinstance(value, int) and -(2**63) <= value < 2**63)


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


@settings(max_examples=300, deadline=None)
@given(st.lists(METADATA, max_size=20))
def test_generated_metadata_is_decided_by_the_book(metadata: list[dict[str, Any]]) -> None:
    policy = compiled()
    chunks = [{"id": str(index), "attributes": attributes} for index, attributes in enumerate(metadata)]
    for request in (ALICE, HELEN):
        expected = [by_the_book(request, attributes) for attributes in metadata]
        assert [bool(decision) for decision in policy.decide(request, chunks)] == expected
        assert [bool(decision) for decision in policy.decide(request, chunks, explain=True)] == expected
        assert [chunk["id"] for chunk in policy.filter(request, chunks)] == [
            chunk["id"] for chunk, allow in zip(chunks, expected, strict=True) if allow
        ]
        rewrite = policy.rewrite(request)
        for chunk, allow in zip(chunks, expected, strict=True):
            assert rewrite.matches(chunk) == allow if rewrite.exact else rewrite.matches(chunk) >= allow


COMPILED: list[tamis.Policy] = []


def compiled() -> tamis.Policy:
    if not COMPILED:
        COMPILED.append(tamis.Policy.compile(POLICY))
    return COMPILED[0]


COLUMNS: dict[str, list[Any]] = {
    "id": ["a", "b", "c", "d"],
    "tenant": ["acme", "globex", "acme", None],
    "level": [1, 1, 9, 1],
}


def rows() -> list[dict[str, Any]]:
    return [
        {"id": id_, "attributes": {"tenant": tenant, "level": level}}
        for id_, tenant, level in zip(*COLUMNS.values(), strict=True)
    ]


@pytest.mark.parametrize("explain", [False, True])
def test_columns_are_decided_as_rows_are(policy: tamis.Policy, explain: bool) -> None:
    expected = [decision.allow for decision in policy.decide(ALICE, rows(), explain=explain)]
    table = pa.table(COLUMNS)
    dictionary = table.set_column(1, "tenant", table["tenant"].dictionary_encode())
    for columns in [
        table,
        dictionary,
        pd.DataFrame(COLUMNS),
        table.to_batches()[0],
        pa.chunked_array(table.to_struct_array()),
    ]:
        decisions = policy.decide(ALICE, columns, explain=explain)
        assert [decision.allow for decision in decisions] == expected, type(columns)
    by_id = tamis.Policy.compile('permit(principal, action, resource == Chunk::"b");')
    named = table.rename_columns(["doc", "tenant", "level"])
    assert [d.allow for d in by_id.decide(ALICE, named, id="doc")] == [False, True, False, False]
    assert [d.allow for d in policy.decide(ALICE, named)] == expected
    with pytest.raises(tamis.InputError, match="id: there is no such column"):
        by_id.decide(ALICE, named)
    with pytest.raises(tamis.InputError, match="table"):
        policy.decide(ALICE, table.set_column(2, "level", pa.array([datetime.date(2026, 1, 1)] * 4)))
