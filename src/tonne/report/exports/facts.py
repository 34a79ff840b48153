"""What is said of a run in words: hardware, place, kind of training, the model. None where it is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tonne.describe.architecture import Architecture
from tonne.describe.given import GIVEN
from tonne.describe.start import Start
from tonne.describe.training import Training
from tonne.documents import plain
from tonne.errors import UnknownReferenceError
from tonne.ledger.lenses.compute import accelerators_of
from tonne.ledger.lenses.history import parents, start_of
from tonne.ledger.lenses.scopes import site_of_run
from tonne.ledger.records import FINAL, FINE_TUNING, FORECAST, INITIALISED_FROM, REINFORCEMENT, Run
from tonne.reference.grids import grid
from tonne.reference.regions import region
from tonne.report.numbers import count_text

PRE_TRAINING = "pre-training"
BANDS = (
    (500e6, "1 to 500 million"),
    (5e9, "500 million to 5 billion"),
    (15e9, "5 to 15 billion"),
    (50e9, "15 to 50 billion"),
    (100e9, "50 to 100 billion"),
    (500e9, "100 to 500 billion"),
    (1e12, "500 billion to 1 trillion"),
    (float("inf"), "more than 1 trillion"),
)
DAYS_PER_MONTH = 30.4375  # of the Julian year
TIMES = ((1, "less than 1 month"), (3, "1 to 3 months"), (6, "3 to 6 months"), (float("inf"), "more than 6 months"))
NORM_PLACES = {"pre": "before each block", "post": "after each block", "both": "before and after each block"}


def hardware_text(runs: Sequence[Run]) -> str | None:
    """Accelerators, or processors where there are none, the most that a run had: "8 x NVIDIA H100 SXM5 80GB"."""
    most: Counter[str] = Counter()
    for run in runs:
        named = accelerator_names(run) or processor_names(run)
        for name, count in named.items():
            most[name] = max(most[name], count)
    return ", ".join(f"{count} x {name}" for name, count in most.items()) or None


def accelerator_names(run: Run) -> dict[str, int]:
    """Names of accelerators and how many; one that no table knows keeps the name that its driver gave it."""
    if not _on_accelerators(run):
        return {}
    known = accelerators_of(run)
    named = {f"{record.vendor} {record.name}": count for record, count in known.values()}
    return named | {name: count for name, count in run.hardware.items() if name not in known}


def processor_names(run: Run) -> dict[str, int]:
    """Names of processors and how many, of a run that had no accelerators."""
    return {} if _on_accelerators(run) else dict(run.hardware)


def _on_accelerators(run: Run) -> bool:
    """Whether what the run names as its hardware are accelerators: it names these, or processors, never both."""
    hours = None if run.account is None else run.account.accelerator_hours
    return bool(accelerators_of(run)) or (hours is not None and hours.value > 0)


def place_text(run: Run) -> str | None:
    """The region or the grid zone; of a factor without a place, nothing is said."""
    site = site_of_run(run)
    try:
        if site.get("region"):
            place = region(str(site["region"])).record
            return f"{place.location} ({place.id})"
        if site.get("grid"):
            zone = grid(str(site["grid"])).record
            return zone.name_en if zone.name_en == zone.zone else f"{zone.name_en} ({zone.zone})"
    except UnknownReferenceError:
        return str(site.get("region") or site.get("grid"))
    return None


def places_text(runs: Sequence[Run]) -> str | None:
    """All places of some runs."""
    return "; ".join(dict.fromkeys(place for run in runs if (place := place_text(run)))) or None


def cloud_of(run: Run) -> str | None:
    """The operator of a cloud region; None elsewhere."""
    name = str(site_of_run(run).get("region") or "")
    return name.partition(":")[0] if ":" in name else None


def training_type(run: Run) -> str | None:
    """Whether it is pre-training or fine-tuning: by its purpose and by what it starts from; None where nothing says."""
    is_tuning = run.purpose in (FINE_TUNING, REINFORCEMENT) or start_of(run) is not None
    if is_tuning or any(link.kind == INITIALISED_FROM for link in run.links):
        return "fine-tuning"
    return PRE_TRAINING if run.purpose == FINAL or run.plan is not None else None


def dependencies_text(run: Run) -> str | None:
    """What its weights come from; None where neither a plan nor a link says."""
    return started_from(run) or (None if run.plan is None else "none: trained from scratch, as its plan says")


def started_from(run: Run) -> str | None:
    """The models that its weights come from, by links and plan; None where none is named."""
    start = start_of(run)
    named = [*parents(run), *([_origin(start)] if start is not None else [])]
    return ", ".join(dict.fromkeys(named)) or None


def _origin(start: Start) -> str:
    return start.origin if isinstance(start.origin, str) else start.origin.train


def parameter_band(parameters: float) -> str:
    """The band of the EU's form that a number of parameters falls in."""
    return next(text for limit, text in BANDS if parameters <= limit)


def time_range(days: float) -> str:
    """The range of the EU's form that a training time falls in."""
    return next(text for months, text in TIMES if days < months * DAYS_PER_MONTH)


def architecture_text(run: Run) -> str | None:
    """The architecture in about twenty words."""
    a = _architecture(run)
    if not a:
        return None
    experts = a.get("experts")
    mixture = f" with a mixture of {experts['count']} experts, {experts['per_token']} a token" if experts else ""
    kinds = {"decoder": "decoder-only", "encoder": "encoder-only", "encoder-decoder": "encoder-decoder"}
    kind = kinds.get(str(a.get("kind")), str(a.get("kind")))
    return f"Transformer, {kind}{mixture}, {_layers(a)} of width {a.get('width')}, {a.get('heads')} attention heads"


def design_text(run: Run) -> str | None:
    """Design of model and training in up to about a hundred words."""
    training, data, a = training_of(run), _section(run, "data"), _architecture(run)
    if not a:
        return None
    parts = [
        f"{architecture_text(run)}{_attention(a)}.",
        f"The feed-forward width is {a['feed_forward_width']} ({a.get('feed_forward')}, {a.get('activation')})."
        if a.get("feed_forward_width")
        else "",
        f"Positions: {a.get('positions')}; norm: {a.get('norm')}, {NORM_PLACES.get(str(a.get('norm_position')))}; "
        f"the vocabulary has {a.get('vocabulary')} tokens.",
        _objective(run, data),
        f"The optimizer is {training['optimizer']}." if isinstance(training.get("optimizer"), str) else "",
    ]
    return " ".join(part for part in parts if part)


def training_of(run: Run) -> Mapping[str, Any]:
    """How it is trained, as far as somebody said so.

    A plan may be whole, its defaults with it. These say nothing where only hours were given, nor of the optimizer of a
    forecast, which does not ask for it, nor of the precision of a run, which its machine may have decided.
    """
    training, plan = _section(run, "training"), run.plan or {}
    if run.kind == FORECAST and not _section(run, "architecture"):
        return {}
    if run.kind != FORECAST and GIVEN not in plan:
        return training
    left_open = ("optimizer" if run.kind == FORECAST else "precision",)
    given = plan.get(GIVEN) or ()
    return {name: value for name, value in training.items() if name not in left_open or f"training.{name}" in given}


def objective_of(run: Run) -> str | None:
    """The task, else the objective, by its plan, which need not name the usual one; None where no plan is known."""
    told = _section(run, "task").get("name") or training_of(run).get("objective")
    if told or not _section(run, "architecture"):
        return told
    return str(Training.model_fields["objective"].default)


def _objective(run: Run, data: Mapping[str, Any]) -> str:
    """What is learnt from how many tokens: those of the run, which may have ended before its plan's."""
    training, length = training_of(run), data.get("sequence_length")
    tokens = data.get("tokens") if run.work.tokens is None else run.work.tokens
    amount = tokens.get("value") if isinstance(tokens, Mapping) else tokens
    of_length = f" in sequences of {length}" if length else ""
    of_tokens = f" on {count_text(float(amount))} tokens" if isinstance(amount, int | float) else ""
    precision = f" in {training['precision']}" if training.get("precision") else ""
    return f"It is trained by the objective {objective_of(run)}{of_tokens}{of_length}{precision}."


def _attention(a: Mapping[str, Any]) -> str:
    kv = a.get("kv_heads")
    return f" sharing {kv} heads of keys and values" if kv and kv != a.get("heads") else ""


def _layers(a: Mapping[str, Any]) -> str:
    if a.get("encoder_layers"):
        return f"{a['encoder_layers']} + {a.get('decoder_layers')} layers"
    return f"{a.get('layers')} layers"


def _architecture(run: Run) -> Mapping[str, Any]:
    """The architecture with what its plan left to defaults; empty where none is known."""
    fields = _section(run, "architecture")
    try:
        whole: Mapping[str, Any] = plain(Architecture.model_validate(dict(fields))) if fields else fields
    except ValueError:  # kept by a version that described models otherwise
        return fields
    return whole


def _section(run: Run, name: str) -> Mapping[str, Any]:
    found = None if run.plan is None else run.plan.get(name)
    return found if isinstance(found, Mapping) else {}
