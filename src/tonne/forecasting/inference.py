"""What using a model will take, beside what training it takes, and when the one overtakes the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tonne.account import Account
from tonne.count.inference import generation_flop
from tonne.describe.inference import Inference
from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError
from tonne.estimate import Estimate, propagate, scaled
from tonne.forecasting.inputs import Inputs
from tonne.forecasting.serving import Held, Serving, Sides, sides_of
from tonne.forecasting.single import Forecast, account_of, dependencies, forecast
from tonne.forecasting.use import use_outcome
from tonne.forecasting.use_inputs import UseInputs, merged, use_inputs_of
from tonne.reference.calibration import Calibration
from tonne.reference.inference_coefficients import inference_coefficients
from tonne.units import SECONDS_PER_HOUR

MILLION = 1e6
DAYS = 365.0  # of service, where requests a day are given and no days
SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What serves: accelerators, and what they hold with a full batch [bytes]; available is None where unknown."""

    accelerator: str
    accelerators: int
    batch_sequences: int
    weights_bytes: float
    cache_bytes: float
    available_bytes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a request, or a million tokens, takes; what cannot be known is None. Waiting replicas are included."""

    accelerator_s: Estimate | None
    accelerators_kwh: Estimate | None
    it_kwh: Estimate | None
    facility_kwh: Estimate | None
    operational_location_kgco2e: Estimate | None
    operational_market_kgco2e: Estimate | None
    embodied_kgco2e: Estimate | None
    water_l: Estimate | None
    cost_usd: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtakes:
    """After what use the whole of it has taken as much as training did; days where requests a day are given."""

    requests: Estimate
    tokens: Estimate
    days: Estimate | None = None
    share_of_use: Estimate | None = None  # of training and use together, over the requests that are planned


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceForecast:
    """What using a model will take.

    Tokens are output tokens, or those that a request in one pass (an encoder's, or one for labels) reads.
    ``whole``: the planned requests as an account. ``training``: None where the plan describes no run.
    ``overtakes_carbon``: of operational and embodied emissions together where both sides' making is known, else of
    operational ones.
    """

    plan: TrainingPlan
    replica: Replica
    requests: float | None
    tokens_per_request: int
    flop_per_request: int
    flop_per_request_uncached: int
    flop_per_output_token: float
    flop_per_output_token_uncached: float
    prefill_sides: Sides
    decode_sides: Sides | None
    prefill_s: Estimate
    time_per_output_token_s: Estimate | None
    tokens_per_s: Estimate  # of one replica while it serves
    replicas: Estimate | None  # busy and waiting, where requests a day are given
    per_request: Taken
    per_million_tokens: Taken
    whole: Account | None
    training: Forecast | None
    overtakes_energy: Overtakes | None
    overtakes_carbon: Overtakes | None
    notes: tuple[str, ...]
    inputs: dict[str, Estimate]
    uncertainty: dict[str, dict[str, float]]  # output of a request -> input -> share of the log-variance


def forecast_inference(
    plan: TrainingPlan,
    calibration: Calibration | None = None,
    coefficients: Mapping[str, Estimate] | None = None,
) -> InferenceForecast:
    """What using a plan's model will take, before it is used.

    Args:
        plan: With [architecture], [cluster] and, for what is not to be assumed, [inference].
        calibration: Fitted coefficients of training; the shipped ones where left out.
        coefficients: Fitted coefficients of serving; the shipped ones where left out.

    Returns:
        Per request, per million tokens and in all; with the training run's forecast where the plan describes one.

    Raises:
        DescriptionError: The plan is not a TrainingPlan, names no architecture, or its replica cannot hold the model.
    """
    if not isinstance(plan, TrainingPlan):
        raise DescriptionError(
            f"forecast_inference() takes a TrainingPlan, not {type(plan).__name__}. "
            f"Make one with TrainingPlan.from_toml(path) or TrainingPlan.from_fields({{...}})."
        )
    training = forecast(plan, calibration) if plan.trains else None
    given = use_inputs_of(plan, coefficients or inference_coefficients())
    inputs, keys = merged({} if training is None else training.inputs, given.factors)
    function = partial(use_outcome, serving_names=keys, trains=training is not None)
    found = propagate(function, inputs, drivers=dependencies(function, inputs))
    return _result(plan, given, training, found.outputs, {name: dict(s) for name, s in found.shares.items() if s})


def _result(
    plan: TrainingPlan,
    given: UseInputs,
    training: Forecast | None,
    outputs: Mapping[str, Estimate | None],
    shares: dict[str, dict[str, float]],
) -> InferenceForecast:
    """The outputs in their places."""
    asked, serving = plan.inference or Inference(), given.serving
    requests = _requests(asked)
    tokens = serving.prompt_tokens if serving.in_one_pass else serving.output_tokens
    uncached = generation_flop(serving.architecture, serving.prompt_tokens, serving.output_tokens, cache=False)
    days = _days(asked)
    prompt, step = sides_of({name: e.value for name, e in given.factors.items()})
    return InferenceForecast(
        plan=plan,
        replica=_replica(serving, given.held),
        requests=requests,
        tokens_per_request=tokens,
        flop_per_request=generation_flop(serving.architecture, serving.prompt_tokens, serving.output_tokens),
        flop_per_request_uncached=uncached,
        flop_per_output_token=_flop_per_token(serving, cache=True),
        flop_per_output_token_uncached=_flop_per_token(serving, cache=False),
        prefill_sides=prompt,
        decode_sides=step if serving.decode_steps else None,
        prefill_s=known(outputs["prefill_s"]),
        time_per_output_token_s=outputs["time_per_output_token_s"],
        tokens_per_s=known(outputs["throughput.tokens_per_s"]),
        replicas=_replicas(asked, outputs["replica_s"]),
        per_request=_taken(outputs, 1.0),
        per_million_tokens=_taken(outputs, MILLION / tokens),
        whole=None if requests is None else _whole(outputs, shares, given, requests, days),
        training=training,
        overtakes_energy=_overtakes(outputs.get("overtakes.energy_requests"), tokens, asked),
        overtakes_carbon=_overtakes(outputs.get("overtakes.carbon_requests"), tokens, asked),
        notes=_notes(given, asked, training),
        inputs=given.factors,
        uncertainty=shares,
    )


def _requests(asked: Inference) -> float | None:
    if asked.requests_per_day is None:
        return asked.requests
    return asked.requests_per_day * (asked.days or DAYS)


def _days(asked: Inference) -> float | None:
    return None if asked.requests_per_day is None else asked.days or DAYS


def _replica(serving: Serving, held: Held) -> Replica:
    return Replica(
        accelerator=serving.record.id,
        accelerators=serving.accelerators,
        batch_sequences=serving.batch_sequences,
        weights_bytes=held.weights_bytes,
        cache_bytes=held.cache_bytes,
        available_bytes=held.available_bytes,
    )


def _flop_per_token(serving: Serving, *, cache: bool) -> float:
    """FLOP of an output token after the first, the mean of a request; of the only one; of a token read [FLOP/token]."""
    s = serving
    first = generation_flop(s.architecture, s.prompt_tokens, 1)
    if not s.decode_steps:
        return first / s.prompt_tokens if s.in_one_pass else float(first)
    whole = generation_flop(s.architecture, s.prompt_tokens, s.output_tokens, cache=cache)
    return (whole - first) / s.decode_steps


def _replicas(asked: Inference, replica_s: Estimate | None) -> Estimate | None:
    """Replicas that the requests of a day keep busy, on average."""
    if asked.requests_per_day is None or replica_s is None:
        return None
    return scaled(replica_s, asked.requests_per_day / SECONDS_PER_DAY)


def _taken(outputs: Mapping[str, Estimate | None], number: float) -> Taken:
    def of(path: str, factor: float = 1.0) -> Estimate | None:
        estimate = outputs[path]
        return None if estimate is None else scaled(estimate, number * factor)

    return Taken(
        accelerator_s=of("accelerator_hours", SECONDS_PER_HOUR),
        accelerators_kwh=of("energy.accelerators_kwh"),
        it_kwh=of("energy.it_kwh"),
        facility_kwh=of("energy.facility_kwh"),
        operational_location_kgco2e=of("carbon.operational_location_kgco2e"),
        operational_market_kgco2e=of("carbon.operational_market_kgco2e"),
        embodied_kgco2e=of("carbon.embodied_kgco2e"),
        water_l=of("water_l"),
        cost_usd=of("cost_usd"),
    )


def _whole(
    outputs: Mapping[str, Estimate | None],
    shares: Mapping[str, Mapping[str, float]],
    given: UseInputs,
    requests: float,
    days: float | None,
) -> Account:
    """All requests as an account: a request's figures times their number."""
    rates = {path: e for path, e in outputs.items() if path.startswith("throughput.")}
    amounts = {
        path: None if e is None else scaled(e, requests)
        for path, e in outputs.items()
        if path not in rates and not path.startswith("overtakes.")
    }
    duration = None if days is None else Estimate.exact(days * SECONDS_PER_DAY)
    paths = {**amounts, **rates, "duration_s": duration, "development.multiplier": None}
    inputs = Inputs(factors=given.factors, counts=None, memory=None, notes=given.notes, left_out=given.left_out)
    return account_of(paths, shares, inputs)


def _overtakes(requests: Estimate | None, tokens: int, asked: Inference) -> Overtakes | None:
    if requests is None:
        return None
    planned = _requests(asked)
    return Overtakes(
        requests=requests,
        tokens=scaled(requests, float(tokens)),
        days=None if asked.requests_per_day is None else scaled(requests, 1.0 / asked.requests_per_day),
        share_of_use=None if planned is None else _share(requests, planned),
    )


def _share(even: Estimate, planned: float) -> Estimate:
    """Share of the use in training and use together: planned / (planned + even), falling with even."""
    value, low, high = (planned / (planned + n) for n in (even.value, even.high, even.low))
    return Estimate(value=value, low=low, high=high, basis=even.basis, sources=even.sources)


def _notes(given: UseInputs, asked: Inference, training: Forecast | None) -> tuple[str, ...]:
    notes = list(given.notes)
    if asked.requests_per_day is not None and asked.days is None:
        notes.append(f"days is not given: {DAYS:.0f} days of service are taken.")
    if _requests(asked) is None:
        notes.append("requests are not given: figures are per request. Give requests, or requests_per_day.")
    if training is None:
        notes.append("no training run is described ([data] tokens, [cluster] accelerators): its share is unknown.")
    return tuple(notes)


def known(estimate: Estimate | None) -> Estimate:
    """An output that no plan leaves unknown."""
    assert estimate is not None
    return estimate
