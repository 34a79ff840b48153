"""A forecast as one JSON document, and back. The keys are the names of the fields; what is unknown is null."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

from tonne.errors import DescriptionError
from tonne.reference import DATA_VERSION

if typing.TYPE_CHECKING:
    from tonne.forecasting import Forecast, InferenceForecast

SCHEMA_VERSION = "1"


def document(forecast: Forecast) -> dict[str, Any]:
    """The forecast as built-in types, ready for `json.dumps`.

    Returns:
        schema_version, plan, counts, memory, layout, account, inputs, modification, notes and data_version.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": plain(forecast.plan),
        "counts": plain(forecast.counts),
        "memory": plain(forecast.memory),
        "layout": plain(forecast.layout),
        "account": plain(forecast.account),
        "inputs": plain(forecast.inputs),
        "modification": _modification(forecast),
        "notes": list(forecast.notes),
        "data_version": forecast.account.data_version,
    }


def _modification(forecast: Forecast) -> dict[str, Any] | None:
    """The modification, and where it stands to the threshold."""
    from tonne.forecasting.modification import standing  # noqa: PLC0415 - as below

    found = forecast.modification
    return None if found is None else {**plain(found), "standing": standing(found)}


def inference_document(forecast: InferenceForecast) -> dict[str, Any]:
    """The use of a model as built-in types: schema_version, plan, `inference` (without the run's own forecast)."""
    fields = {
        field.name: plain(getattr(forecast, field.name))
        for field in dataclasses.fields(forecast)
        if field.name not in {"plan", "training"}
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": plain(forecast.plan),
        "data_version": DATA_VERSION,
        "inference": fields,
    }


def from_document(fields: Mapping[str, Any]) -> Forecast:
    """The forecast that a document describes; equal to the one it was made from.

    Raises:
        DescriptionError: The document is of another version.
    """
    from tonne.forecasting import Forecast  # noqa: PLC0415 - printing a count must not load the forecast

    version = fields.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DescriptionError(
            f"schema_version={version!r} cannot be read. This version of tonne reads {SCHEMA_VERSION!r}: "
            f"make the document again with `tonne forecast --json`."
        )
    names = {field.name for field in dataclasses.fields(Forecast)}
    forecast: Forecast = rebuilt(Forecast, {name: fields[name] for name in names if name in fields})
    return forecast


def plain(value: Any) -> Any:  # noqa: ANN401 - any result or description
    """A result or a description as dictionaries, lists, numbers and strings."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
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
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value


def _rebuilt_dataclass(kind: Any, value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a dataclass
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    return kind(**{name: rebuilt(hints[name], item) for name, item in value.items() if name in known})


def _rebuilt_container(origin: Any, members: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401 - a generic type
    if origin is tuple:
        return tuple(rebuilt(members[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: rebuilt(members[1], item) for key, item in value.items()}
    return [rebuilt(members[0], item) for item in value] if origin is list else value
