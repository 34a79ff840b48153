"""The fitted coefficients of the step's time, and how far its forecasts are off. Written by `make calibrate`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tonne.reference.calibration import PRECISION_CLASS, family_of

TABLE, SPREADS = "time_model.csv", "time_model_spreads.csv"
# Coefficients that differ by chip and precision, or by chip and attention kernel; the others are one for all.
BY_PRECISION, PLAIN, BY_KERNEL = "matrix_share", "plain_share", "score_share"
FUSED_ON_HOPPER = {"megatron-lm", "nemo", "megatron-bridge", "transformer-engine"}
FLASH_2_ON_HOPPER = {"llm-foundry", "fsdp", "fms-fsdp", "deepspeed", "torchtitan", "pytorch", "transformers"}
BESIDE, PLAIN_MESSAGES = "tensor_exposed.beside", "tensor_exposed.plain"
TENSOR = "tensor_exposed"  # by whether the framework cuts messages into pieces that run beside the products
CUTS_MESSAGES = {"nemo", "megatron-bridge", "transformer-engine"}
WHOLE_MESSAGES = {"megatron-lm", "megatron-deepspeed", "deepspeed", "transformers", "pytorch"}
FITTED_FAMILIES = ("A100", "H100", "Blackwell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One coefficient: its value, its standard deviation in logarithms, and what it was before any row was seen."""

    name: str
    value: float
    log_spread: float
    prior: float
    prior_log_spread: float
    least: float
    most: float
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Half-width of the 90 % interval in logarithms for a kind, a precision class and a known or an unseen stack."""

    kind: str
    precision: str
    stack: str
    log_half_width: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeModel:
    """Coefficients by name, and spreads by (kind, precision class, stack)."""

    coefficients: Mapping[str, float]
    spreads: Mapping[tuple[str, str, str], Spread]

    def for_machine(self, accelerator_id: str, precision: str, framework: str) -> dict[str, float] | None:
        """Coefficients by role; None where no row of such a chip, or of such a precision on it, was fitted."""
        keys = role_keys(family_of(accelerator_id), precision, framework)
        if keys is None:
            return None
        found = {role: self._mean(names) for role, names in keys.items()}
        return found | {name: value for name, value in self.coefficients.items() if "." not in name}

    def _mean(self, names: tuple[str, ...]) -> float:
        """The geometric mean: of one name its value; of several, what is between them where it is not known which."""
        product = 1.0
        for name in names:
            product *= self.coefficients[name]
        return float(product ** (1 / len(names)))


def role_keys(family: str, precision: str, framework: str) -> dict[str, tuple[str, ...]] | None:
    """Names of the coefficients that serve the roles which depend on chip, precision and kernel.

    Args:
        family: Chip generation, see ``family_of``.
        precision: As in a plan.
        framework: As in a plan; says which attention kernel runs on Hopper.

    Returns:
        Role -> names (several where the framework does not say which); None where nothing was fitted.
    """
    wanted = PRECISION_CLASS[precision]
    if family not in FITTED_FAMILIES or wanted == "32-bit" or (family == "A100" and wanted != "16-bit"):
        return None
    if family == "H100" and wanted == "fp4":
        return None
    kernels: tuple[str, ...] = (f"{BY_KERNEL}.{family}",)
    name = framework.lower()
    if family == "H100":
        both = (f"{BY_KERNEL}.H100.fused", f"{BY_KERNEL}.H100.flash2")
        kernels = both[:1] if name in FUSED_ON_HOPPER else both[1:] if name in FLASH_2_ON_HOPPER else both
    return {
        BY_PRECISION: (f"{BY_PRECISION}.{family}.{wanted}",),
        PLAIN: (f"{BY_PRECISION}.{family}.16-bit",),
        BY_KERNEL: kernels,
        TENSOR: tensor_names(name),
    }


def tensor_names(framework: str) -> tuple[str, ...]:
    """Which share of tensor-parallel messages is seen: both names where the framework does not say."""
    if framework in CUTS_MESSAGES:
        return (BESIDE,)
    return (PLAIN_MESSAGES,) if framework in WHOLE_MESSAGES else (BESIDE, PLAIN_MESSAGES)


@cache
def shipped_time_model() -> TimeModel:
    """The coefficients that come with the package."""
    return TimeModel(
        coefficients={row["name"]: float(row["value"]) for row in _rows(TABLE)},
        spreads={
            (row["kind"], row["precision"], row["stack"]): Spread(
                kind=row["kind"],
                precision=row["precision"],
                stack=row["stack"],
                log_half_width=float(row["log_half_width"]),
                rows=int(row["rows"]),
            )
            for row in _rows(SPREADS)
        },
    )


def fitted_coefficients() -> tuple[Fitted, ...]:
    """Every row of the table of coefficients."""
    return tuple(
        Fitted(
            name=row["name"],
            value=float(row["value"]),
            log_spread=float(row["log_spread"]),
            prior=float(row["prior"]),
            prior_log_spread=float(row["prior_log_spread"]),
            least=float(row["least"]),
            most=float(row["most"]),
            meaning=row["meaning"],
        )
        for row in _rows(TABLE)
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = files("tonne.reference").joinpath("tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
