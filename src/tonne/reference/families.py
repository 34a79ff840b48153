"""Coefficients of the step's time for every chip and precision: fitted, or what the fitted families share.

A family that no step was fitted for takes the geometric mean of the fitted ones, times how much more or less of its
peak its own measured utilisation asks for (``time_model_families.csv``, written by `make calibrate`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tonne.estimate import Z_90, Basis
from tonne.reference.calibration import POOLED, PRECISION_CLASS, family_of
from tonne.reference.table import table
from tonne.reference.time_model import (
    BY_KERNEL,
    BY_PRECISION,
    FITTED_FAMILIES,
    PLAIN,
    TENSOR,
    role_keys,
    shipped_time_model,
    tensor_names,
)

TABLE = "time_model_families"
SIXTEEN_BIT, THIRTY_TWO_BIT = "16-bit", "32-bit"
MOST_SHARE = 1.0
LAUNCHES = ("layer_s", "expert_layer_s")
WHOLE_PROGRAM = "TPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyShare:
    """How much of the share of the peak that the fitted families reach another one does, and how sure that is.

    ``log_half_width``: of the 90 % interval, in logarithms; ``rows``: measured utilisations behind it, none for ``*``,
    which stands for every family without any.
    """

    family: str
    share: float
    log_half_width: float
    rows: int
    sources: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Coefficients by role, what they add to the half-width of a step's interval, what they rest on, and a note."""

    values: Mapping[str, float]
    log_half_width: float
    basis: Basis
    note: str | None


@cache
def coefficients_of(accelerator_id: str, precision: str, framework: str) -> Coefficients:
    """Coefficients of the step's time for any accelerator.

    Args:
        accelerator_id: Id of the accelerator table.
        precision: As in a plan; one of which the accelerator has a peak.
        framework: As in a plan.

    Returns:
        The fitted ones, which add nothing to the interval; else those that the fitted families share.
    """
    model, family = shipped_time_model(), family_of(accelerator_id)
    fitted = model.for_machine(accelerator_id, precision, framework)
    if fitted is not None:
        return Coefficients(values=fitted, log_half_width=0.0, basis=Basis.MODELLED, note=None)
    wanted = PRECISION_CLASS[precision]
    half_width = _class_log_half_width(model.coefficients) if wanted == THIRTY_TWO_BIT else 0.0
    if family in FITTED_FAMILIES:
        keys = role_keys(family, "bf16", framework)
        assert keys is not None  # every fitted family has its 16-bit rows
        own = model.for_machine(accelerator_id, "bf16", framework)
        assert own is not None
        note = f"no step of {accelerator_id} in {precision} was measured: it is taken to reach the share of 16 bits."
        return Coefficients(values=own, log_half_width=half_width, basis=Basis.ASSUMED, note=note)
    of_family = family_share(family)
    values = shared_coefficients(model.coefficients, family, wanted, of_family.share, framework=framework)
    return Coefficients(
        values=values,
        log_half_width=math.hypot(half_width, of_family.log_half_width),
        basis=Basis.MODELLED if of_family.rows and not half_width else Basis.ASSUMED,
        note=_note(accelerator_id, of_family),
    )


def shared_coefficients(
    coefficients: Mapping[str, float], family: str, precision_class: str, share: float, *, framework: str = "unknown"
) -> dict[str, float]:
    """Coefficients by role of a family that was not fitted, at a multiple of the share of the peak of those that were.

    Args:
        coefficients: Of the time model, by name.
        family: Chip generation, see ``family_of``.
        precision_class: Of the linear layers.
        share: The family's multiple.
        framework: As in a plan; says whether messages are cut into pieces.
    """
    tensor = geometric_mean([coefficients[name] for name in tensor_names(framework.lower())])
    shared = {name: value for name, value in coefficients.items() if "." not in name}
    return shared | {TENSOR: tensor} | pooled_shares(coefficients, precision_class, share) | launches_of(family)


def pooled_shares(coefficients: Mapping[str, float], precision_class: str, family: float) -> dict[str, float]:
    """The shares of the peak by role of a family that was not fitted.

    Equation: s = min(1, k (s_1 ... s_n)^(1/n)), with s_i the shares of the n fitted families, k = family. In 32 bits
    products reach the share of 16-bit ones.

    Args:
        coefficients: Of the time model, by name.
        precision_class: Of the linear layers: 16-bit, 32-bit, fp8 or fp4.
        family: The family's multiple of what the fitted ones reach.

    Returns:
        Shares of the dense peak of their precision.

    Source: tonne
    """
    matrix = SIXTEEN_BIT if precision_class == THIRTY_TWO_BIT else precision_class
    found = {
        BY_PRECISION: geometric_mean(list(class_shares(coefficients, matrix).values())),
        PLAIN: geometric_mean(list(class_shares(coefficients, SIXTEEN_BIT).values())),
        BY_KERNEL: geometric_mean([_kernel_share(coefficients, name) for name in FITTED_FAMILIES]),
    }
    return {role: min(MOST_SHARE, family * share) for role, share in found.items()}


def class_shares(coefficients: Mapping[str, float], precision_class: str) -> dict[str, float]:
    """Share of the dense peak that products reach, by fitted family, at a class of precision that it was fitted in."""
    names = {family: f"{BY_PRECISION}.{family}.{precision_class}" for family in FITTED_FAMILIES}
    return {family: coefficients[name] for family, name in names.items() if name in coefficients}


def geometric_mean(numbers: list[float]) -> float:
    """The geometric mean of some numbers, at least one."""
    return math.exp(sum(math.log(number) for number in numbers) / len(numbers))


def launches_of(family: str) -> dict[str, float]:
    """What starting operations costs where a whole step is one program, compiled before it runs: a TPU's."""
    return dict.fromkeys(LAUNCHES, 0.0) if family.startswith(WHOLE_PROGRAM) else {}


def family_share(family: str) -> FamilyShare:
    """The family's own row, or that of all families without measurements."""
    found = family_shares()
    return found.get(family, found[POOLED])


@cache
def family_shares() -> dict[str, FamilyShare]:
    """The rows that `make calibrate` wrote, by family."""
    return {
        row["family"]: FamilyShare(
            family=row["family"],
            share=float(row["share"]),
            log_half_width=float(row["log_half_width"]),
            rows=int(row["rows"]),
            sources=row["sources"],
        )
        for row in table(TABLE)
    }


def _kernel_share(coefficients: Mapping[str, float], family: str) -> float:
    """Share of the peak of a family's attention, between its kernels where there are several."""
    kernels = [value for name, value in coefficients.items() if name.startswith(f"{BY_KERNEL}.{family}")]
    return geometric_mean(kernels)


def _class_log_half_width(coefficients: Mapping[str, float]) -> float:
    """What a class of precision that nobody measured may be off: as the measured ones lie around 16 bits."""
    plain = class_shares(coefficients, SIXTEEN_BIT)
    squares = [
        math.log(share / plain[family]) ** 2
        for wanted in ("fp8", "fp4")
        for family, share in class_shares(coefficients, wanted).items()
    ]
    return Z_90 * math.sqrt(sum(squares) / len(squares))


def _note(accelerator_id: str, of_family: FamilyShare) -> str:
    """How a chip without fitted steps was priced."""
    if not of_family.rows:
        return (
            f"no step of {accelerator_id} or its kin was measured: it is taken to reach the share of its peak that "
            f"{', '.join(FITTED_FAMILIES)} do, which may be off by x/ {math.exp(of_family.log_half_width):.1f}. Give "
            f"one measured step where you can (measured_step_s)."
        )
    return (
        f"no step of {accelerator_id} was fitted part by part: {of_family.rows} measured utilisations of "
        f"{of_family.family} say that it reaches {of_family.share:.2f} times the share of the peak that "
        f"{', '.join(FITTED_FAMILIES)} do."
    )
