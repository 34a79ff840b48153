"""Results and descriptions as built-in types, and back: the words of JSON are those of Python; unknown is null."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

BUILT_IN = (bool, int, float, str, types.NoneType)
SCHEMA_VERSION = "1"  # of every document that tonne prints or keeps


def plain(value: Any) -> Any:  # noqa: ANN401 - any result or description
    """A result or a description as dictionaries, lists, numbers and strings."""
    if hasattr(value, "model_dump"):  # of pydantic, whose own import would be the most of a short command's time
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    fields = value._asdict() if hasattr(value, "_asdict") else value  # a tuple whose fields have names
    if isinstance(fields, Mapping):
        return {str(key): plain(item) for key, item in fields.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def rebuilt(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any type expression and what JSON held
    """The value of a type that `plain` was given, from what it returned."""
    origin = typing.get_origin(kind)
    if value is None or kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return rebuilt(_fitting(typing.get_args(kind), value), value)
    if origin is not None:
        return _rebuilt_container(origin, typing.get_args(kind), value)
    if dataclasses.is_dataclass(kind):
        return _rebuilt_dataclass(kind, value)
    return _rebuilt_simple(kind, value)


def _fitting(members: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401 - type expressions
    """The member of a union that a value was of: of several dataclasses, the one with just these fields."""
    known = [member for member in members if member is not types.NoneType]
    fitting = [
        member
        for member in known
        if dataclasses.is_dataclass(member)
        and isinstance(value, Mapping)
        and {field.name for field in dataclasses.fields(member)} == set(value)
    ]
    return (fitting or known)[0]


def _rebuilt_simple(kind: Any, value: Any) -> Any:  # noqa: ANN401 - a class
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value


def _rebuilt_dataclass(kind: Any, value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a dataclass
    hints = _hints(kind)
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    return kind(**{name: rebuilt(hints[name], item) for name, item in value.items() if name in known})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    """Types of the fields; looking them up takes longer than all the rest."""
    return typing.get_type_hints(kind)


@functools.cache
def _is_built_in(kind: Any) -> bool:  # noqa: ANN401 - a type expression
    """Whether values of a type are the same in JSON: long columns of numbers need not be looked at one by one."""
    members = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    return all(member in BUILT_IN for member in members)


def _rebuilt_container(origin: Any, members: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401 - a generic type
    if origin is tuple:
        return tuple(value) if _is_built_in(members[0]) else tuple(rebuilt(members[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: rebuilt(members[1], item) for key, item in value.items()}
    return [rebuilt(members[0], item) for item in value] if origin is list else value
