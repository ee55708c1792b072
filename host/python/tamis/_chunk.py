"""The chunk, and what is left of one after redaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from types import NoneType
from typing import Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of retrieval, as a gate sees it.

    Mappings with these keys and objects with these attributes serve as well. Only the metadata that the policy reads is looked at.
    """

    id: str | None
    attributes: Mapping[str, Any]
    text: str | None = None
    type: str = "Chunk"
    parents: Sequence[Mapping[str, str]] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)


def without(attributes: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A copy of `attributes` without what is at `paths`. Nothing of the original changes."""
    kept = dict(attributes)
    for path in paths:
        _remove(kept, path)
        # As stores without nesting write it.
        kept.pop(".".join(path), None)
    return kept


def _remove(kept: dict[str, Any], path: Sequence[str]) -> None:
    if not path or path[0] not in kept:
        return
    name, *inside = path
    value = kept[name]
    if inside and isinstance(value, Mapping):
        kept[name] = without(value, [inside])
    elif not inside or not isinstance(value, (bool, int, float, NoneType)):
        # The path may lie inside any element of a list or in a text of JSON, and who knows where in an object, so all of it goes.
        del kept[name]


def redacted(chunk: Any, paths: Sequence[Sequence[str]], text: bool) -> Any:
    """A copy of a chunk without what a decision withholds.

    Raises `TypeError` for an object that cannot be copied: it is not handed out as it is.
    """
    if isinstance(chunk, Mapping):
        copy = dict(chunk)
        copy["attributes"] = without(chunk.get("attributes") or {}, paths)
        if text:
            copy.pop("text", None)
        return copy
    if is_dataclass(chunk):
        attributes: Mapping[str, Any] = getattr(chunk, "attributes", {})
        changes: dict[str, Any] = {"attributes": without(attributes, paths)}
        if text:
            changes["text"] = None
        return replace(chunk, **changes)  # type: ignore[type-var]
    raise TypeError(f"the policy redacts a {type(chunk).__name__}, which is neither a mapping nor a dataclass")
