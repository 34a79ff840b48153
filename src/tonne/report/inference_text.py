"""The use of a model as lines of text, beneath what its training takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.account import Account
from tonne.count.inference import answers_in_one_pass
from tonne.estimate import Estimate
from tonne.forecasting import InferenceForecast
from tonne.forecasting.inference import Overtakes
from tonne.forecasting.serving import Sides
from tonne.report import numbers
from tonne.report.numbers import count_text, rounded, short, value_and_interval
from tonne.report.text import INPUT_WORDS, LABEL, VALUE, WHY_UNKNOWN, listed

ENERGY_KWH = (*numbers.ENERGY_KWH, (1e-6, "mWh"))
LEAST_WH_KWH = 5e-5  # people say 0.24 Wh, but 3 mWh
MASS_KG = (*numbers.MASS_KG, (1e-9, "µg"))
SPEED = ((1e6, "M tok/s"), (1.0, "tok/s"))
MOST_PLAIN_TOKENS = 5e5  # per second: the upper bound stands in the same unit, and may be twice as much
VOLUME_L = numbers.VOLUME_L
TIME_S = (*numbers.TIME_S, (1e-3, "ms"))
ONE, INTERVAL = 15, 24
WORDS = {
    "decode_time_factor": "engine, decoding",
    "prefill_time_factor": "engine, prompts",
    "memory_activity": "power while decoding",
    "resting_activity": "power between kernels",
    "busy_fraction": "waiting replicas",
    "idle_power_fraction": "power while waiting",
}
OUTPUTS = (
    ("Energy", "facility_kwh", "energy.facility_kwh", ENERGY_KWH),
    ("CO2e, grid", "operational_location_kgco2e", "carbon.operational_location_kgco2e", MASS_KG),
    ("CO2e, market", "operational_market_kgco2e", "carbon.operational_market_kgco2e", MASS_KG),
    ("CO2e, embodied", "embodied_kgco2e", "carbon.embodied_kgco2e", MASS_KG),
    ("Water", "water_l", "water_l", VOLUME_L),
    ("Cost", "cost_usd", "cost_usd", numbers.MONEY_USD),
    ("Accelerators", "accelerator_s", "accelerator_hours", TIME_S),
)


def inference_lines(forecast: InferenceForecast) -> list[str]:
    """What serves, how fast, what one request, a million tokens and all requests take, and when it overtakes."""
    shown = () if forecast.training is None else forecast.training.notes
    text = [*_header(forecast), "", *_speed(forecast), "", *_amounts(forecast)]
    if forecast.training is not None:
        text += ["", *_overtaking(forecast)]
    text += [line for note in forecast.notes if note not in shown for line in listed("Note", [note])]
    return text


def _header(forecast: InferenceForecast) -> Iterator[str]:
    r, plan = forecast.replica, forecast.plan
    asked = plan.inference
    precision = "bf16" if asked is None else asked.weight_precision
    gigabytes = (r.weights_bytes + r.cache_bytes) / 1e9
    memory = f"{rounded(gigabytes, 2) if gigabytes < 1 else f'{gigabytes:.0f}'} GB"
    yield f"Use       {plan.name} · {precision} weights · replica of {r.accelerators} x {r.accelerator} · {memory} held"
    requests = "" if forecast.requests is None else f" · {count_text(forecast.requests)} requests"
    prompt = 500 if asked is None else asked.prompt_tokens
    answer = "" if _in_one_pass(forecast) else f", {forecast.tokens_per_request} out"
    yield f"          {prompt} tokens in{answer} · {r.batch_sequences} sequences at a time{requests}"


def _in_one_pass(forecast: InferenceForecast) -> bool:
    return forecast.plan.architecture is not None and answers_in_one_pass(forecast.plan.architecture)


def _speed(forecast: InferenceForecast) -> Iterator[str]:
    f = forecast
    yield _row("", "value", "5 - 95 %", "")
    first = "One pass" if _in_one_pass(f) else "First token"
    yield _speed_row(first, f.prefill_s, TIME_S, f"alone: {_sides_text(f.prefill_sides)}")
    if f.time_per_output_token_s is not None and f.decode_sides is not None:
        yield _speed_row("Next tokens", f.time_per_output_token_s, TIME_S, _sides_text(f.decode_sides))
    speed = SPEED[:1] if f.tokens_per_s.value >= MOST_PLAIN_TOKENS else SPEED[1:]
    yield _speed_row("Replica", f.tokens_per_s, speed, "while it serves")
    if f.replicas is not None:
        yield _speed_row("Replicas", f.replicas, ((1.0, ""),), "for the requests of a day")
    yield _row("Work", f"{rounded(f.flop_per_output_token)} FLOP", "exact", _work_text(f))


def _sides_text(sides: Sides) -> str:
    """What bounds a phase, and the other side of it."""
    arithmetic, reading = (short(value, TIME_S, 2) for value in (sides.arithmetic_s, sides.reading_s))
    bound = f"compute-bound {arithmetic} (read in {reading})"
    if sides.reading_s >= sides.arithmetic_s:
        bound = f"memory-bound {reading} (computed in {arithmetic})"
    return f"{bound}, overhead {short(sides.exchange_s + sides.overhead_s, TIME_S, 2)}"


def _work_text(f: InferenceForecast) -> str:
    if f.time_per_output_token_s is None:
        return "a token read" if _in_one_pass(f) else "the token written, and the prompt read for it"
    more = f.flop_per_output_token_uncached / f.flop_per_output_token
    return f"a token written; without a cache {rounded(more, 2)} times as much"


def _speed_row(label: str, estimate: Estimate, units: Sequence[tuple[float, str]], remark: str) -> str:
    value, interval = value_and_interval(estimate, units)
    return _row(label, value, interval, remark)


def _row(label: str, value: str, interval: str, remark: str) -> str:
    return f"  {label:<{LABEL}}{value:<{VALUE}}{interval:<{INTERVAL}}{remark}".rstrip()


def _amounts(forecast: InferenceForecast) -> Iterator[str]:
    """What is taken: one request with its interval, and the same for more of them."""
    whole = "" if forecast.whole is None else "all"
    yield _amount("", "one request", "5 - 95 %", "million tokens", whole, "main driver of spread")
    for label, name, path, units in OUTPUTS:
        one = getattr(forecast.per_request, name)
        if one is None:
            if "market" not in name:
                why = WHY_UNKNOWN.get(path)
                yield f"  {label:<{LABEL}}unknown" + (f": {why}" if why else "")
            continue
        value, interval = value_and_interval(one, _units_of(one, units))
        million, _ = value_and_interval(getattr(forecast.per_million_tokens, name), units)
        total = _total(forecast.whole, path)
        all_units = numbers.HOURS if path == "accelerator_hours" else units
        everything = "" if total is None else value_and_interval(total, all_units)[0]
        yield _amount(label, value, interval, million, everything, _driver(forecast, path))


def _units_of(one: Estimate, units: Sequence[tuple[float, str]]) -> Sequence[tuple[float, str]]:
    """The units, without the smallest of energy where a broken number of the next one reads better."""
    return ENERGY_KWH[:-1] if units is ENERGY_KWH and one.value >= LEAST_WH_KWH else units


def _total(account: Account | None, path: str) -> Estimate | None:
    place: object = account
    for name in path.split("."):
        place = getattr(place, name, None)
    return place if isinstance(place, Estimate) else None


def _amount(label: str, *cells: str) -> str:
    one, interval, million, whole, driver = cells
    columns = f"{one:<{ONE}}{interval:<{INTERVAL}}{million:<{ONE}}" + (f"{whole:<{ONE}}" if whole else "")
    return f"  {label:<{LABEL}}{columns}{driver}".rstrip()


def _driver(forecast: InferenceForecast, path: str) -> str:
    shares = forecast.uncertainty.get(path)
    if not shares:
        return "no spread"
    largest = max(shares, key=lambda key: shares[key])
    name = largest.removeprefix("serving_")
    words = WORDS.get(name) or INPUT_WORDS.get(name, name.replace("_", " "))
    return f"{words} {shares[largest]:.0%}"


def _overtaking(forecast: InferenceForecast) -> Iterator[str]:
    """After how many requests use has taken as much as training."""
    found = (("Even: energy", forecast.overtakes_energy), ("Even: CO2e", forecast.overtakes_carbon))
    for label, even in found:
        if even is None:
            yield f"  {label:<{LABEL}}unknown"
        else:
            yield f"  {label:<{LABEL}}{_even_text(even)}"


def _even_text(even: Overtakes) -> str:
    n = even.requests
    text = f"use overtakes training after {short(n.value, digits=2)} requests"
    text += f" [{short(n.low, digits=2)}, {short(n.high, digits=2)}], {short(even.tokens.value, digits=2)} tokens"
    if even.days is not None:
        text += f", {rounded(even.days.value, 2)} days"
    if even.share_of_use is not None:
        text += f"; use is {even.share_of_use.value:.0%} of both"
    return text
