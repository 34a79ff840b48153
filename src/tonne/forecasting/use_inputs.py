"""Every input of a request by name: the plan's [inference], the tables, and the fitted coefficients of serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tonne.describe.hardware import Cluster
from tonne.describe.inference import Inference
from tonne.describe.plan import TrainingPlan
from tonne.describe.site import Site
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.forecasting.inputs import Collected
from tonne.forecasting.place import add_place
from tonne.forecasting.serving import Held, Serving, fewest_accelerators, held_of, peak_precision, work_of
from tonne.forecasting.watts import add_hardware

BUSY_UNKNOWN = Estimate(value=0.8, low=0.5, high=1.0, basis=Basis.ASSUMED, sources=("default: no busy_fraction given",))
IDLE_WIDENING = (0.9, 1.8)  # a card that holds a model idles above the figure for an empty one
IDLE_UNKNOWN = Estimate(
    value=0.14, low=0.08, high=0.25, basis=Basis.ASSUMED, sources=("default: cards idle at 8 to 25 % of what they use",)
)
SERVER_IDLE = Estimate(
    value=0.4, low=0.25, high=0.6, basis=Basis.ASSUMED, sources=("default: whole servers idle at 25 to 60 %",)
)
ENDLESS = ("relative", "alibi")  # positions that take any length
OF_DECODING = ("output_tokens", "cache_precision")
LISTED = ("prompt_tokens", "output_tokens", "batch_sequences", "weight_precision", "cache_precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class UseInputs:
    """Inputs of a request by name, the replica, and what was chosen on the way."""

    factors: dict[str, Estimate]
    serving: Serving
    held: Held
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def use_inputs_of(plan: TrainingPlan, coefficients: Mapping[str, Estimate]) -> UseInputs:
    """The named inputs of a plan's use.

    Raises:
        DescriptionError: There is no architecture, or the replica cannot hold the model.
    """
    found = Collected()
    asked = plan.inference or Inference()
    serving = serving_of(plan, asked, found)
    for name, value in work_of(serving).items():
        found.factors[name] = Estimate.exact(value, Basis.MODELLED, "count and accelerators.csv")
    tokens = serving.prompt_tokens if serving.in_one_pass else serving.output_tokens
    found.factors["tokens_per_request"] = Estimate.exact(float(tokens))
    found.factors.update(coefficients)
    if asked.busy_fraction is not None:
        found.factors["busy_fraction"] = asked.busy_fraction.estimate()
    else:
        found.factors["busy_fraction"] = BUSY_UNKNOWN
        found.notes.append("busy_fraction is not given: replicas serve 0.8 [0.5, 1] of the time, and idle the rest.")
    stand_in = plan.model_copy(update={"cluster": _cluster(plan, serving), "site": _site(plan, asked, serving, found)})
    add_hardware(stand_in, found)
    add_place(stand_in, found)
    found.factors["idle_power_fraction"] = _idle(serving, found.factors)
    return UseInputs(
        factors=found.factors,
        serving=serving,
        held=held_of(serving),
        notes=tuple(dict.fromkeys(found.notes)),
        left_out=tuple(found.left_out),
    )


def serving_of(plan: TrainingPlan, asked: Inference, found: Collected) -> Serving:
    """The replica that serves a plan's model; what was chosen for it is noted.

    Raises:
        DescriptionError: There is no architecture, or the accelerators that are given do not hold it.
    """
    if plan.architecture is None:
        raise DescriptionError("[architecture] is missing: the work of a request needs it. Name a preset, for example.")
    cluster = plan.cluster if asked.accelerator is None else Cluster(accelerator=asked.accelerator)
    if cluster.note:
        found.notes.append(cluster.note)
    serving = Serving(
        architecture=plan.architecture,
        record=cluster.record,
        accelerators=asked.accelerators or 1,
        batch_sequences=asked.batch_sequences,
        prompt_tokens=asked.prompt_tokens,
        output_tokens=asked.output_tokens,
        weight_precision=asked.weight_precision,
        cache_precision=asked.cache_precision,
        cache=asked.cache,
    )
    _note_defaults(asked, serving, found)
    if asked.accelerators is None:
        number = fewest_accelerators(serving)
        return _with(serving, number, found)
    held = held_of(serving)
    if not held.fits:
        needed = (held.weights_bytes + held.cache_bytes) / 1e9
        raise DescriptionError(
            f"{asked.accelerators} x {serving.record.id} do not hold {needed:.0f} GB of weights and cache "
            f"(they leave {(held.available_bytes or 0.0) / 1e9:.0f} GB). Use {fewest_accelerators(serving)}, or a "
            f"smaller batch_sequences or weight_precision."
        )
    return serving


def merged(
    training: Mapping[str, Estimate], serving: Mapping[str, Estimate]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Inputs of both sides in one mapping, and the key of each of the serving side's.

    Returns:
        Inputs by key: what is the same on both sides once, what differs under ``serving_`` and its name; and name ->
        key for the serving side.
    """
    both, keys = dict(training), {}
    for name, estimate in serving.items():
        key = name if both.get(name, estimate) == estimate else f"serving_{name}"
        both[key] = estimate
        keys[name] = key
    return both, keys


def _with(serving: Serving, number: int, found: Collected) -> Serving:
    found.notes.append(
        f"a replica is {number} x {serving.record.id}, the fewest (of 1, 2, 4, ...) that hold weights and cache."
    )
    return replace(serving, accelerators=number)


def _note_defaults(asked: Inference, serving: Serving, found: Collected) -> None:
    """What was not said about the requests, and in what precision matrices multiply."""
    meaningless = OF_DECODING if serving.in_one_pass else ()
    names = [n for n in LISTED if n not in asked.model_fields_set and n not in meaningless]
    if names:
        found.notes.append(f"assumed: {', '.join(f'{name}={getattr(asked, name)}' for name in names)}.")
    used = peak_precision(serving.record, serving.weight_precision)
    if used != serving.weight_precision:
        found.notes.append(f"{serving.weight_precision} weights multiply in {used} on {serving.record.id}.")
    _note_length(serving, found)
    if not serving.cache and not serving.in_one_pass:
        found.notes.append("without a cache every output token repeats the whole sequence.")


def _note_length(serving: Serving, found: Collected) -> None:
    """Where a request is longer than what the model was made for; relative positions have no end."""
    a = serving.architecture
    lengths = (serving.prompt_tokens, 0 if serving.in_one_pass else serving.output_tokens)
    longest = max(lengths) if a.kind == "encoder-decoder" else sum(lengths)
    if a.max_positions and longest > a.max_positions and a.positions not in ENDLESS:
        made = "that the model has learned" if a.positions == "learned" else "that the model was made for"
        found.notes.append(f"{longest} tokens are more than the {a.max_positions} positions {made}.")


def _cluster(plan: TrainingPlan, serving: Serving) -> Cluster:
    """One replica as a cluster: the plan's own watts hold where its accelerator serves too."""
    own = plan.cluster
    fields = {"accelerator": serving.record.id, "accelerators": serving.accelerators}
    fields["accelerators_per_node"] = own.accelerators_per_node
    if own.record.id == serving.record.id:
        given = ("accelerator_power_w", "host_power_w", "network_power_w")
        fields |= {name: getattr(own, name) for name in given if getattr(own, name) is not None}
    return Cluster(**fields)


def _site(plan: TrainingPlan, asked: Inference, serving: Serving, found: Collected) -> Site:
    """The site with the price of what serves: a price of the training's accelerators is none of another's."""
    if plan.cluster.power_cap_w is not None:
        found.notes.append("power_cap_w holds for the training: replicas run without a cap.")
    if asked.usd_per_accelerator_hour is not None:
        return plan.site.model_copy(update={"usd_per_accelerator_hour": asked.usd_per_accelerator_hour})
    other = plan.trains and plan.cluster.record.id != serving.record.id
    if not other or plan.site.usd_per_accelerator_hour is None:
        return plan.site
    found.notes.append(
        f"the price of an accelerator-hour that is given is that of {plan.cluster.record.id}. Give that of "
        f"{serving.record.id} as [inference] usd_per_accelerator_hour."
    )
    return plan.site.model_copy(update={"usd_per_accelerator_hour": None})


def _idle(serving: Serving, factors: Mapping[str, Estimate]) -> Estimate:
    """Power of a waiting accelerator over its power while training."""
    full = factors.get("accelerator_power_w")
    if full is None:
        return SERVER_IDLE
    idle_w = serving.record.idle_w
    if idle_w is None:
        return IDLE_UNKNOWN
    share = idle_w / full.value
    low, high = IDLE_WIDENING
    source = f"idle watts of accelerators.csv, {serving.record.id}"
    return Estimate(value=share, low=share * low, high=min(share * high, 1.0), basis=Basis.MODELLED, sources=(source,))
