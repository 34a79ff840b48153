"""A forecast as one JSON document, and back. The keys are the names of the fields; what is unknown is null."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain, rebuilt
from tonne.errors import DescriptionError
from tonne.reference import DATA_VERSION

if typing.TYPE_CHECKING:
    from tonne.forecasting import Forecast, InferenceForecast


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
        DescriptionError: The document is of another version, or no forecast.
    """
    from tonne.forecasting import Forecast  # noqa: PLC0415 - printing a count must not load the forecast

    version = fields.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DescriptionError(
            f"schema_version={version!r} cannot be read. This version of tonne reads {SCHEMA_VERSION!r}: "
            f"make the document again with `tonne forecast --json`."
        )
    names = {field.name for field in dataclasses.fields(Forecast)}
    try:
        forecast: Forecast = rebuilt(Forecast, {name: fields[name] for name in names if name in fields})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DescriptionError(
            f"the document holds a forecast that cannot be read ({str(error).splitlines()[0]}). Make it again with "
            f"`tonne forecast --json`."
        ) from None
    return forecast
