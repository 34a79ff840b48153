"""What a modification takes of the compute that went into the model it starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tonne.count.module import WorkCounts
from tonne.count.workload import Counts, counts_of
from tonne.describe.architecture import Architecture
from tonne.describe.plan import TrainingPlan, described, plan_fields
from tonne.describe.start import Start, Trained, original_fields
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate, Number, weakest
from tonne.reference.architectures import architecture_rows
from tonne.reference.thresholds import threshold

DEFAULT_LENGTHS = {"encoder": 512, "decoder": 2048, "encoder-decoder": 512}  # as of a plan without a length
OBJECTIVES = {"encoder": "masked-lm", "decoder": "causal-lm", "encoder-decoder": "span-corruption"}
ANY_MACHINE = {"accelerator": "H100-SXM5-80GB", "accelerators": 1}  # a plan for `tonne train` need not name one
FEWEST_DIGITS = 2  # a published "1T" is taken to mean 0.95 to 1.05
SHAPE = ("kind", "layers", "encoder_layers", "decoder_layers", "width")  # a new head or vocabulary changes none of them
Standing = Literal["below", "above", "straddles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """Training that starts from another model, beside what that model's own training took.

    Model FLOP, recomputation not included. ``share`` is that of the original's compute, None where this is unknown.
    ``threshold_flop``: one third of the original's, above which the Commission's guidelines see a new provider in who
    modifies a general-purpose model downstream; where the original's is unknown, of 1e23 FLOP, or of 1e25 where the
    original has systemic risk.
    """

    training_flop: Estimate
    original_training_flop: Estimate | None
    share: Estimate | None
    threshold_flop: Estimate


def modification_of(plan: TrainingPlan, counts: Counts | WorkCounts | None, notes: list[str]) -> Modification | None:
    """The modification that a plan describes; None where it starts from scratch, or its work is not counted.

    Args:
        plan: The plan; its numbers may be arrays.
        counts: What was counted of it.
        notes: Takes what was assumed about the original.
    """
    if plan.start.from_scratch or counts is None:
        if plan.training.lora is not None or plan.training.frozen_layers:
            notes.append("a part of the model is frozen: name the model it starts from in [start] from, or by --from.")
        return None
    own = Estimate.exact(counts.training_flop, Basis.MODELLED, "count")
    _note_another_shape(plan, notes)
    original = original_training_flop(plan.start, notes)
    third = threshold("eu-modification-share")
    if original is None:
        known = threshold("eu-systemic-risk-flop" if plan.start.systemic_risk else "eu-general-purpose-flop")
        notes.append(
            f"the original's compute is unknown: the EU threshold is one third of {known.value:.0e} FLOP. "
            f"Give start.training_flop, or start.tokens, where you know it."
        )
        return Modification(
            training_flop=own, original_training_flop=None, share=None, threshold_flop=_product(known, third)
        )
    return Modification(
        training_flop=own,
        original_training_flop=original,
        share=_quotient(own, original),
        threshold_flop=_product(original, third),
    )


def _note_another_shape(plan: TrainingPlan, notes: list[str]) -> None:
    """Say where [architecture] is no model that [start] could be: other layers, or another width."""
    a, origin = plan.architecture, plan.start.origin
    if a is None or isinstance(origin, Trained) or (plan.start.preset is None and not Path(origin).exists()):
        return  # beside training_flop any name will do
    original = Architecture.model_validate(original_fields(origin))
    if any(getattr(a, name) != getattr(original, name) for name in SHAPE):
        notes.append(
            f"[architecture] has another shape ({_shape(a)}) than {origin} ({_shape(original)}), which training starts "
            f"from. Leave [architecture] out to take the original's."
        )


def _shape(a: Architecture) -> str:
    layers = f"{a.layers} layers" if a.kind != "encoder-decoder" else f"{a.encoder_layers} + {a.decoder_layers} layers"
    return f"{a.kind}, {layers} of width {a.width}"


def architecture_is_the_starts(plan: TrainingPlan) -> bool:
    """Whether a plan trains the very architecture of the preset or folder that it starts from."""
    origin = plan.start.origin
    if plan.start.from_scratch or isinstance(origin, Trained):
        return False
    return plan.architecture == Architecture.model_validate(original_fields(origin))


def standing(modification: Modification) -> Standing:
    """Whether a modification takes more than the threshold; ``straddles`` where the intervals do not tell."""
    own, limit = modification.training_flop, modification.threshold_flop
    if own.low > limit.high:
        return "above"
    return "below" if own.high <= limit.low else "straddles"


def original_training_flop(start: Start, notes: list[str], seen: tuple[Path, ...] = ()) -> Estimate | None:
    """Model FLOP that the original's training took [FLOP]: given, counted from its plan or its tokens, or unknown.

    Raises:
        DescriptionError: The start is neither a preset nor a folder, or plans start from each other.
    """
    if start.training_flop is not None:
        return start.training_flop.estimate()
    if isinstance(start.origin, Trained):
        return _of_plan(Path(start.origin.train), notes, seen)
    row: Mapping[str, str] = architecture_rows().get(start.preset or "", {})
    if start.preset is None and start.tokens is None:
        original_fields(start.origin)  # a name that means nothing is an error, not an unknown
    tokens = _published_tokens(row) if start.tokens is None else start.tokens.estimate()
    if tokens is None:
        return None
    a = Architecture.model_validate(original_fields(start.origin))
    length = start.sequence_length or int(row.get("sequence_length_train") or 0) or DEFAULT_LENGTHS[a.kind]
    per_token = counts_of(a, tokens=1, sequence_length=length, objective=OBJECTIVES[a.kind]).model_flop_per_token
    number = f"{tokens.value:.3g} tokens" if isinstance(tokens.value, int | float) else "its tokens"  # else an array
    notes.append(
        f"the original's compute is counted from {number} in sequences of {length}; "
        "what its makers trained before or after these is not in it."
    )
    basis = weakest((tokens.basis, Basis(row.get("basis") or Basis.PUBLISHED), Basis.MODELLED))
    return _scaled(tokens, per_token, basis)


def _of_plan(path: Path, notes: list[str], seen: tuple[Path, ...]) -> Estimate | None:
    """Model FLOP of a plan that trains the original, and of what that one starts from."""
    if path in seen:
        raise DescriptionError(f"{path} starts from what it trains itself. Name a plan that starts from scratch.")
    fields = {"name": path.stem, "cluster": ANY_MACHINE, **plan_fields(path)}
    plan = described(TrainingPlan, fields, origin=str(path))
    if plan.architecture is None or plan.data is None:
        return None
    training, data, kind = plan.training, plan.data, plan.architecture.kind
    counts = counts_of(
        plan.architecture,
        tokens=data.tokens,
        sequence_length=data.sequence_length or data.source_length or DEFAULT_LENGTHS[kind],
        source_length=data.source_length,
        target_length=data.target_length,
        objective=training.objective,
        masked_fraction=training.masked_fraction,
        answer_fraction=data.answer_fraction,
        lora=training.lora,
        frozen_layers=training.frozen_layers,
    )
    own = Estimate.exact(counts.training_flop, Basis.MODELLED, f"count, {path}")
    if plan.start.from_scratch:
        return own
    before = original_training_flop(plan.start, notes, (*seen, path))
    return None if before is None else _sum(own, before)


def _published_tokens(row: Mapping[str, str]) -> Estimate | None:
    """Tokens that a published model was trained on, within the rounding of the figure."""
    cell = row.get("tokens_trained")
    if not cell:
        return None
    value = float(cell)
    digits = max(FEWEST_DIGITS, len(cell.lower().partition("e")[0].replace(".", "").strip("0")))
    half = 0.5 * 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return Estimate(
        value=value, low=value - half, high=value + half, basis=Basis(row["basis"]), sources=(row["source"],)
    )


def _scaled(estimate: Estimate, factor: Number, basis: Basis) -> Estimate:
    low, value, high = (factor * number for number in (estimate.low, estimate.value, estimate.high))
    return Estimate(value=value, low=low, high=high, basis=basis, sources=estimate.sources)


def _product(estimate: Estimate, exact: Estimate) -> Estimate:
    found = _scaled(estimate, exact.value, weakest((estimate.basis, exact.basis)))
    return Estimate(
        value=found.value, low=found.low, high=found.high, basis=found.basis, sources=(*found.sources, *exact.sources)
    )


def _quotient(own: Estimate, original: Estimate) -> Estimate:
    return Estimate(
        value=own.value / original.value,
        low=own.low / original.high,
        high=own.high / original.low,
        basis=weakest((own.basis, original.basis)),
        sources=(*own.sources, *original.sources),
    )


def _sum(first: Estimate, second: Estimate) -> Estimate:
    return Estimate(
        value=first.value + second.value,
        low=first.low + second.low,
        high=first.high + second.high,
        basis=weakest((first.basis, second.basis)),
        sources=(*first.sources, *second.sources),
    )
