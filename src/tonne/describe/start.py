"""Where training starts: from scratch, or from a model that exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from tonne.describe.presets import preset_ids
from tonne.describe.quantity import Positive
from tonne.describe.section import Section
from tonne.errors import DescriptionError

SCRATCH = "scratch"
OWN_ARCHITECTURE = "architecture.json"  # beside weights of a shape that no class of transformers has


class Trained(Section):
    """A model that another plan trains."""

    train: str = Field(min_length=1, description="path of that plan (TOML)")


class Start(Section):
    """The model that training starts from, in the file ``from``: "scratch", a preset, a folder, or { train = plan }.

    ``training_flop`` is what the original's training took; left out, it is counted from ``tokens`` (left out: those
    that the preset's row gives) at ``sequence_length``. ``systemic_risk``: whether the original is classified as a
    model with systemic risk; it matters where its compute is unknown.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    origin: str | Trained = Field(default=SCRATCH, alias="from")
    training_flop: Positive | None = None
    tokens: Positive | None = None
    sequence_length: int | None = Field(default=None, ge=1)
    systemic_risk: bool = False

    @property
    def from_scratch(self) -> bool:
        """Whether there is no original."""
        return self.origin == SCRATCH

    @property
    def preset(self) -> str | None:
        """Id of the published model that training starts from; None where it is none."""
        name = self.origin.strip().lower() if isinstance(self.origin, str) else ""
        return name if name in preset_ids() else None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.from_scratch and (self.training_flop or self.tokens or self.systemic_risk):
            raise DescriptionError(
                "training_flop, tokens and systemic_risk describe an original, but from = 'scratch' has none. "
                "Name it, e.g. from = 'llama-3.1-8b', or leave them out."
            )
        return self


def origin_from(origin: Any, folder: Path) -> Any:  # noqa: ANN401 - whatever the file held
    """What ``from`` names, a path that exists beside the plan file taken from there."""
    if isinstance(origin, dict) and isinstance(origin.get("train"), str):
        return {**origin, "train": origin_from(origin["train"], folder)}
    if not isinstance(origin, str) or origin == SCRATCH or origin.strip().lower() in preset_ids():
        return origin
    beside = folder / origin
    return str(beside) if beside.exists() else origin


def original_fields(name: str) -> dict[str, Any]:
    """What ``[architecture]`` takes for a preset, or for a folder (or file) with a config.json.

    Raises:
        DescriptionError: It is neither.
    """
    if name.strip().lower() in preset_ids():
        return {"preset": name.strip().lower()}
    path = Path(name)
    if (path / OWN_ARCHITECTURE).is_file():
        return _own_fields(path / OWN_ARCHITECTURE)
    if path.is_file() or (path / "config.json").is_file():
        return {"huggingface": name}
    raise DescriptionError(
        f"{name!r} is no preset, and no folder that holds a config.json. Give 'scratch', the id of a preset such as "
        f"'llama-3.1-8b' (tonne reference architectures lists them), a folder, or {{ train = 'plan.toml' }}."
    )


def _own_fields(file: Path) -> dict[str, Any]:
    """The architecture that a run wrote beside its model.

    Raises:
        DescriptionError: The file is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DescriptionError(f"{file} cannot be read: {error}. Have the run write its model again.") from None
    return found
