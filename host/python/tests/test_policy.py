"""Policies: compiled, loaded, asked, replaced, followed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tamis
from conftest import ALICE

OPEN = "permit(principal, action, resource);"
POLICY = """
@id("tenants") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
@id("clearance") permit(principal, action, resource) when { resource.level <= principal.clearance };
"""
SHUT = "forbid(principal, action, resource);"
CHUNK = {"id": "c", "attributes": {"tenant": "acme", "level": 1}}
SCHEMA = """
entity User { tenant: String };
entity Chunk { tenant: String, level: Long };
action retrieve, index appliesTo { principal: User, resource: Chunk };
"""


def test_one_component_serves_everywhere(tmp_path: Path) -> None:
    compiled = tamis.Policy.compile(POLICY)
    loaded = tamis.Policy.load(compiled.component)
    assert loaded.digest == compiled.digest
    (tmp_path / "p.wasm").write_bytes(compiled.component)
    (tmp_path / "policy.cedar").write_text(POLICY)
    for source in [str(tmp_path / "p.wasm"), tmp_path / "p.wasm", tmp_path / "policy.cedar"]:
        assert tamis.Policy.load(source).digest == compiled.digest
    assert ("tenant",) in compiled.footprint
    assert compiled.manifest["contract"].startswith("0.1")


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("permit(principal", 1, 17, "unexpected end of input"),
        ("permit(principal, action, resource)\nwhen { resource.a == };", 2, 22, "unexpected token"),
        ("permit(principal, action, resource) when { foo(1) };", 1, 44, "foo"),
    ],
)
def test_what_does_not_compile_has_line_and_column(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(tamis.SourceError, match=message) as raised:
        tamis.Policy.compile(source)
    error = raised.value
    assert (error.line, error.column) == (line, column)
    assert error.problems and error.problems[0].line == line
    assert isinstance(error, tamis.Error)


def test_a_schema_is_checked_and_its_complaints_are_kept() -> None:
    policy = tamis.Policy.compile("permit(principal, action, resource) when { resource.lvel == 1 };", schema=SCHEMA)
    assert any("lvel" in problem.message and not problem.warning for problem in policy.warnings)
    assert tamis.Policy.compile("permit(principal, action, resource);", schema=SCHEMA).warnings == []
    with pytest.raises(tamis.SourceError, match="cedarschema"):
        tamis.Policy.compile(OPEN, schema="entity User {")


def test_bytes_that_are_no_policy(tmp_path: Path) -> None:
    component = tamis.Policy.compile(OPEN).component
    core_module = b"\0asm\1\0\0\0"
    for bytes_ in [b"", b"garbage", core_module, component[:1000]]:
        with pytest.raises(tamis.ArtifactError):
            tamis.Policy.load(bytes_)
    with pytest.raises(FileNotFoundError):
        tamis.Policy.load(tmp_path / "none.wasm")
    with pytest.raises(IsADirectoryError):
        tamis.Policy.load(tmp_path)
    with pytest.raises(TypeError):
        tamis.Policy.load(3)  # type: ignore[arg-type]
    with pytest.raises(tamis.InputError, match="schema"):
        tamis.Policy.load(component, schema=tmp_path / "x.cedarschema")
    (tmp_path / "latin.cedar").write_bytes(b"\xff")
    with pytest.raises(tamis.InputError, match=r"latin\.cedar"):
        tamis.Policy.load(tmp_path / "latin.cedar")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (3, "is a int, not a mapping"),
        ({}, "missing field `subject`"),
        ({"subject": {"type": "User"}}, "subject: missing field `id`"),
        ({"subject": {"type": "User", "id": "a"}}, "missing field `action`"),
        ({"subject": {"type": "User", "id": 1}, "action": {"name": "retrieve"}}, "subject.id"),
        ({"subject": {"type": "User", "id": "a"}, "action": {"name": "retrieve"}, "user": 1}, "user"),
        ({"subject": {"type": "User", "id": "a", "properties": {"x": {1}}}, "action": {"name": object()}}, "object"),
        ({"subject": {"type": "User", "id": "a", "properties": {"x": float("nan")}}}, r"subject.properties.x.*finite"),
        ("{", "line 1"),
    ],
)
def test_a_request_of_another_shape_is_refused_with_its_place(request_: Any, message: str) -> None:
    with pytest.raises(tamis.InputError, match=message):
        tamis.Request(request_)
    with pytest.raises(ValueError):
        tamis.Policy.compile(OPEN).filter(request_, [CHUNK])


def test_a_request_is_read_once_and_compares() -> None:
    request = tamis.Request(ALICE)
    assert request == tamis.Request(ALICE) and hash(request) == hash(tamis.Request(ALICE))
    assert request.subject == ("User", "alice")
    assert request.with_action("index").action == "index"
    assert request != request.with_action("index")


def test_decisions_say_why() -> None:
    policy = tamis.Policy.compile(POLICY)
    low = {"id": "d", "attributes": {"tenant": "acme", "level": 5}}
    other = {"id": "e", "attributes": {"tenant": "globex", "level": 0}}
    plain = policy.decide(ALICE, [CHUNK, low, other])
    assert [bool(decision) for decision in plain] == [True, False, False]
    explained = policy.decide(ALICE, [CHUNK, low, other], explain=True)
    assert [decision.allow for decision in explained] == [True, False, False]
    assert explained[0].reasons == ["clearance"] and explained[1].reasons == [] and explained[2].reasons == ["tenants"]


def test_a_session_stays_with_its_generation() -> None:
    policy = tamis.Policy.compile(OPEN)
    session = policy.session(ALICE)
    assert policy.replace(tamis.Policy.compile(SHUT)) == 2
    assert policy.generation == 2
    assert session.generation == 1 and session.filter([CHUNK]) == [CHUNK]
    assert policy.filter(ALICE, [CHUNK]) == []
    assert policy.rewrite(ALICE).never and session.rewrite().always


def test_what_does_not_load_replaces_nothing() -> None:
    policy = tamis.Policy.compile(OPEN)
    with pytest.raises(tamis.ArtifactError):
        policy.replace(b"garbage")
    assert isinstance(policy.last_error, tamis.ArtifactError)
    assert policy.generation == 1 and policy.filter(ALICE, [CHUNK]) == [CHUNK]


def eventually(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within ten seconds"
        time.sleep(0.005)


def test_a_file_is_followed_and_garbage_in_it_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "p.cedar"
    file.write_text(OPEN)
    policy = tamis.Policy.load(file)
    digests = {text: tamis.Policy.compile(text, name="p").digest for text in (OPEN, SHUT)}
    with policy.watch(file):
        file.write_text(SHUT)
        eventually(lambda: policy.digest == digests[SHUT])
        generation = policy.generation
        assert policy.filter(ALICE, [CHUNK]) == [] and generation > 1
        file.write_text("garbage")
        eventually(lambda: isinstance(policy.last_error, tamis.SourceError))
        assert policy.filter(ALICE, [CHUNK]) == []
        file.write_text(OPEN)
        eventually(lambda: policy.digest == digests[OPEN])
        eventually(lambda: policy.last_error is None)
        assert policy.generation > generation and policy.filter(ALICE, [CHUNK]) == [CHUNK]
    generation = policy.generation
    file.write_text(SHUT)
    time.sleep(0.2)
    assert policy.generation == generation
    with pytest.raises(tamis.HostError, match="cannot watch"):
        policy.watch(tmp_path / "no" / "p.cedar")


def test_threads_share_a_policy_while_it_is_swapped() -> None:
    """Every answer is that of one generation: those of an even number allow nothing."""
    components = [tamis.Policy.compile(text).component for text in (OPEN, SHUT)]
    policy = tamis.Policy.load(components[0])
    chunks = [CHUNK] * 50
    wrong: list[str] = []
    stop = threading.Event()
    seen: set[bool] = set()

    def ask() -> None:
        while not stop.is_set():
            session = policy.session(ALICE)
            allowed = len(session.filter(chunks))
            seen.add(bool(allowed))
            if allowed != (0 if session.generation % 2 == 0 else 50):
                wrong.append(f"generation {session.generation} allowed {allowed}")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for swap in range(1, 50):
        policy.replace(components[swap % 2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and seen == {True, False}


def looping_component() -> bytes:
    """A policy that takes long: nested products of a long number of operands would be folded, so a long pattern it is."""
    text = "*a" * 2000
    return tamis.Policy.compile(
        f'permit(principal, action, resource) when {{ resource.text like "{text}*b" }};'
    ).component


SLOW = {"id": "slow", "attributes": {"text": "a" * 2_000_000}}


def test_a_deadline_ends_a_call_and_denies() -> None:
    component = looping_component()
    policy = tamis.Policy.load(component, deadline=0.05)
    with pytest.raises(tamis.LimitError):
        policy.filter(ALICE, [SLOW] * 200)
    for deadline in [0, -1, float("nan"), float("inf"), 1.8e19]:
        with pytest.raises(tamis.InputError, match="deadline"):
            tamis.Policy.load(component, deadline=deadline)


def test_other_threads_run_while_a_policy_does() -> None:
    policy = tamis.Policy.load(looping_component(), deadline=1.0)
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    try:
        policy.filter(ALICE, [SLOW] * 200)
    except tamis.LimitError:
        pass
    during = counted - before
    stop.set()
    thread.join()
    assert during > 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_meets_deadlines_and_follows_files(tmp_path: Path) -> None:
    file = tmp_path / "p.cedar"
    file.write_text(OPEN)
    followed = tamis.Policy.load(file)
    slow = tamis.Policy.load(looping_component(), deadline=0.05)
    slow.filter(ALICE, [])
    watch = followed.watch(file)
    child = os.fork()
    if child == 0:
        try:
            try:
                slow.filter(ALICE, [SLOW] * 200)
            except tamis.LimitError:
                pass
            else:
                os._exit(1)
            file.write_text(SHUT)
            eventually(lambda: followed.filter(ALICE, [CHUNK]) == [])
            watch.close()
            os._exit(0)
        finally:
            os._exit(2)
    eventually(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    watch.close()
