"""Where a store keeps what the policy reads, in the metadata of each of its documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tamis._chunk import Chunk, without
from tamis._errors import InputError
from tamis._native import Decision

_MISSING = object()
_PLACES = {"entity_type": ("field", "constant", "absent"), "id": ("field", "absent"), "ancestors": ("field", "absent")}


class Layout:
    """A map of fields, as `Rewrite.to` takes it, that can also make a chunk of metadata and redact it.

    What it does not say is as follows. An attribute is in the field of its name. The ancestors are in the field `ancestors`, a list with a JSON text
    such as `["Folder","hr"]` for each. Type and id are nowhere in the metadata: the type is `Chunk`, and the id the store's own.
    """

    def __init__(self, fields: Mapping[str, Any] | None = None) -> None:
        given = dict(fields or {})
        self.fields: dict[str, Any] = {
            "attributes": given.pop("attributes", []),
            "entity_type": given.pop("entity_type", {"absent": True}),
            "id": given.pop("id", {"absent": True}),
            "ancestors": given.pop("ancestors", {"field": "ancestors"}),
            "admitted": given.pop("admitted", False),
            "required": given.pop("required", []),
        }
        """What the dialects take."""
        if given:
            raise InputError(f"fields: `{next(iter(given))}` is none of {', '.join(self.fields)}")
        for name, ways in _PLACES.items():
            place = self.fields[name]
            way, value = next(iter(place.items()), ("", None)) if isinstance(place, Mapping) else ("", None)
            is_meant = value is True if way == "absent" else isinstance(value, str)
            if way not in ways or len(place) != 1 or not is_meant:
                raise InputError(f"fields: `{name}` must be one of {', '.join(f'{{{way!r}: …}}' for way in ways)}")
        try:
            self._mapped = [(tuple(entry["attr"]), tuple(entry["field"])) for entry in self.fields["attributes"]]
        except (KeyError, TypeError) as error:
            raise InputError("fields: `attributes` must be a list of {'attr': [names], 'field': [names]}") from error
        self._type = self.fields["entity_type"].get("constant", "Chunk")
        self._type_field = self.fields["entity_type"].get("field")
        self._id_field = self.fields["id"].get("field")
        self._ancestors_field = self.fields["ancestors"].get("field")

    def chunk(self, metadata: Mapping[str, Any], id: str | None) -> Chunk | None:
        """What the gates decide on. None where the place of the type, the id or the ancestors holds something else."""
        attributes: Mapping[str, Any] = metadata
        if self._mapped:
            restored = dict(metadata)
            # All are read before the first is put where another may be read.
            for path, value in [(path, _at(metadata, field)) for path, field in self._mapped]:
                _put(restored, path, value)
            attributes = restored
        entity_type = self._type if self._type_field is None else metadata.get(self._type_field)
        own_id = id if self._id_field is None else metadata.get(self._id_field)
        stored = None if self._ancestors_field is None else metadata.get(self._ancestors_field)
        parents = () if stored is None else _parents(stored)
        if not isinstance(entity_type, str) or not isinstance(own_id, str | None) or parents is None:
            return None
        return Chunk(own_id, attributes, type=entity_type, parents=parents)

    def visible(self, metadata: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
        """A copy of metadata without what the decision redacts, wherever it is kept."""
        paths: list[Sequence[str]] = []
        for redacted in decision.redacted:
            paths.append(redacted)
            for path, field in self._mapped:
                if path[: len(redacted)] == redacted:
                    paths.append(field)
                elif redacted[: len(path)] == path:
                    paths.append((*field, *redacted[len(path) :]))
        return without(metadata, paths)

    def places(self, names: frozenset[str] | None) -> frozenset[str] | None:
        """The first names of the attributes that are kept in fields with these first names."""
        if names is None:
            return None
        return names | {path[0] for path, field in self._mapped if field[0] in names}

    def attributes_only(self) -> dict[str, Any]:
        """The map of fields of a store where a filter reaches attributes, and no other fields."""
        places = {
            name: place if "constant" in place else {"absent": True}
            for name, place in self.fields.items()
            if name in _PLACES
        }
        return {**self.fields, **places}

    def inside(self, name: str, attributes: Sequence[Sequence[str]]) -> dict[str, Any]:
        """The map of fields of a store that keeps all metadata in a field of this name. Only these attributes are found there."""
        mapped = dict(self._mapped)
        entries = [{"attr": list(path), "field": [name, *mapped.get(tuple(path), path)]} for path in attributes]
        return {**self.attributes_only(), "attributes": entries}


def _at(metadata: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = metadata
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Makes the value at a path this one, or nothing. What stands in the way, as it is no mapping, gives way to a value."""
    name, *inside = path
    if not inside:
        if value is _MISSING:
            into.pop(name, None)
        else:
            into[name] = value
        return
    there = into.get(name)
    if not isinstance(there, Mapping):
        if value is _MISSING:
            return
        there = {}
    into[name] = inner = dict(there)
    _put(inner, inside, value)


def _parents(stored: Any) -> list[dict[str, str]] | None:
    """The ancestors as entities; None if it is no list of ancestors."""
    if not isinstance(stored, list | tuple):
        return None
    parents: list[dict[str, str]] = []
    for key in stored:
        try:
            uid = json.loads(key)
        except (TypeError, ValueError):
            return None
        match uid:
            case [str(entity_type), str(entity_id)]:
                parents.append({"type": entity_type, "id": entity_id})
            case _:
                return None
    return parents
