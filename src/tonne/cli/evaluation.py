"""`tonne evaluate`: how good a model's predictions are, what they took, and what was to be expected."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.describe.plan import described
from tonne.describe.task import Task
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError, MissingPackageError, PlanFileError, UnknownReferenceError
from tonne.forecasting.offline import Measured, Offline, OfflineForecast, forecast_offline
from tonne.report.evaluation_text import evaluation_lines

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.predictions import Pass, Predicted
    from tonne.train.scoring import Evaluated
    from tonne.train.trained import TrainedModel

PRECISIONS = ("fp32", "bf16")
PACKAGES = ("torch", "safetensors", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command, as they were given."""

    data: tuple[str, ...]
    format: str | None = None
    split: str = "test"
    task: str | None = None
    column: tuple[str, ...] = ()
    beams: int | None = None
    stride: int | None = None
    max_source_length: int | None = None
    max_target_length: int | None = None
    metric: str | None = None
    first: int | None = None
    batch: int = 32
    precision: str = "fp32"  # as the folder's numbers are
    device: str | None = None
    accelerator: str | None = None
    resamples: int = 1000
    seed: int = 0
    predictions: Path | None = None


OPTIONS = tuple(field.name for field in fields(Asked))


def run(folder: Path, asked: Asked, *, as_json: bool) -> None:
    """Print metrics with their intervals, time and FLOP of an example, and the forecast of both."""
    try:
        from tonne.train.labelled_reading import read_labelled  # noqa: PLC0415 - the core installs without torch
        from tonne.train.machine import checked_device  # noqa: PLC0415 - as above
        from tonne.train.trained import read_trained  # noqa: PLC0415 - as above
    except ModuleNotFoundError as missing:
        if missing.name not in PACKAGES:
            raise
        raise MissingPackageError(
            f"tonne evaluate needs {missing.name}, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
    if asked.predictions is not None and not asked.predictions.parent.is_dir():
        raise PlanFileError(f"--predictions {asked.predictions}: its folder is not there. Make it, or name another.")
    if asked.precision not in PRECISIONS:
        raise DescriptionError(f"--precision {asked.precision!r} is none. Give one of {', '.join(PRECISIONS)}.")
    trained = read_trained(folder, device=checked_device(asked.device))
    task = task_of(asked, trained.task)
    examples = read_labelled(asked.data, asked.format, task, split=asked.split)[: asked.first]
    found = _evaluated(trained, task, examples, asked)
    if asked.predictions is not None:
        write_predictions(asked.predictions, examples, found.predicted.values)
    document = _document(folder, trained, task, found, asked)
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(evaluation_lines(document)))


def task_of(asked: Asked, known: Task | None) -> Task:
    """The task that the folder was fine-tuned for, changed by the options.

    Raises:
        DescriptionError: Nobody says which task it is, or an option does not fit it.
    """
    if asked.task is None and known is None:
        raise DescriptionError(
            "the folder does not say which task its model was fine-tuned for. Give --task, e.g. --task classification."
        )
    kept = {} if known is None or (asked.task or known.name) != known.name else known.model_dump(exclude_none=True)
    given = {
        name: getattr(asked, name)
        for name in ("beams", "stride", "max_source_length", "max_target_length")
        if getattr(asked, name) is not None
    }
    columns = {**kept.get("columns", {}), **columns_of(asked.column)}
    wanted = {**kept, "name": asked.task or kept.get("name"), **given, "columns": columns}
    return described(Task, wanted, origin="tonne evaluate")


def columns_of(options: Iterable[str]) -> dict[str, str]:
    """Roles and their columns, as ``--column role=name`` gives them.

    Raises:
        DescriptionError: One is of another form.
    """
    found = {}
    for option in options:
        role, equals, column = option.partition("=")
        if not equals or not column:
            raise DescriptionError(f"--column {option!r} is no role=column. Write e.g. --column text=sentence.")
        found[role.strip()] = column
    return found


def write_predictions(file: Path, examples: Sequence[Labelled], values: Sequence[Any]) -> None:
    """One JSON object an example: its id, where it stands, and what was predicted."""
    with file.open("w", encoding="utf-8") as out:
        for example, value in zip(examples, values, strict=True):
            line = {"id": example.id, "where": example.where, "prediction": plain(value)}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def _evaluated(trained: TrainedModel, task: Task, examples: Sequence[Labelled], asked: Asked) -> Evaluated:
    """Predictions and scores; on an accelerator its first batch is run once before time is taken."""
    from tonne.train.predictions import Options, predicted  # noqa: PLC0415 - torch is loaded when it is needed
    from tonne.train.scoring import evaluated  # noqa: PLC0415 - as above
    from tonne.train.tasks.build import reading_of  # noqa: PLC0415 - as above

    reading = reading_of(
        task, trained.model.architecture, trained.tokenizer, labels=trained.labels, start=trained.start
    )
    options = Options(batch_sequences=asked.batch, precision=asked.precision, told=_teller(len(examples)))
    if next(trained.model.parameters()).device.type != "cpu":
        predicted(trained.model, reading, examples[: asked.batch], options)
    return evaluated(
        trained.model,
        reading,
        examples,
        options=options,
        metric=asked.metric,
        resamples=asked.resamples,
        seed=asked.seed,
    )


def _teller(examples: int) -> Any:  # noqa: ANN401 - a function or nothing
    """Says on standard error how far it is, where somebody watches."""
    if not sys.stderr.isatty():
        return None

    def told(done: int) -> None:
        print(f"\r{min(done, examples):,} of {examples:,}", end="" if done < examples else "\n", file=sys.stderr)

    return told


def _document(folder: Path, trained: TrainedModel, task: Task, found: Evaluated, asked: Asked) -> dict[str, Any]:
    """All that was found, as built-in types."""
    expected, why_not = expected_of(trained, found.predicted, asked)
    examples = len(found.predicted.values)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": str(folder),
        "task": task.model_dump(mode="json", exclude_none=True),
        "data": list(asked.data),
        "examples": examples,
        "cut_examples": found.predicted.cut,
        "metrics": {name: asdict(score) for name, score in found.scores.items()},
        "measured": measured_of(trained, found.predicted),
        "forecast": None if expected is None else plain(expected),
        "notes": [] if expected is None else list(expected.notes),
        **({} if why_not is None else {"forecast_missing": why_not}),
    }


def measured_of(trained: TrainedModel, predicted: Predicted) -> dict[str, Any]:
    """Time and FLOP of an example, and what share of the tokens was no padding."""
    from tonne.train.predictions.passes import fill  # noqa: PLC0415 - as above

    a, passes, examples = trained.model.architecture, predicted.passes, len(predicted.values)
    executed = sum(one.executed_flop(a) for one in passes)
    return {
        "device": str(next(trained.model.parameters()).device),
        "elapsed_s": predicted.elapsed_s,
        "time_per_example_s": predicted.elapsed_s / examples,
        "cpu_s_per_example": predicted.cpu_s / examples,
        "flop_per_example": sum(one.model_flop(a) for one in passes) / examples,
        "executed_flop_per_example": executed / examples,
        "flop_per_s": executed / predicted.elapsed_s,
        "tokens_read": sum(sum(one.lengths) for one in passes),
        "tokens_written": sum(sum(one.new) for one in passes),
        "fill": fill(passes),
    }


def expected_of(trained: TrainedModel, predicted: Predicted, asked: Asked) -> tuple[OfflineForecast | None, str | None]:
    """What the tables say of the same batches on this chip, or on another one; or why they say nothing."""
    from tonne.train.machine import chip_of, precision_of  # noqa: PLC0415 - as above

    a, chip = trained.model.architecture, asked.accelerator or chip_of(trained.model)
    held = precision_of(trained.model)
    work = offline_of(predicted.passes, held, held if asked.precision == "fp32" else asked.precision)
    scale = sum(one.sequences for one in predicted.passes) / len(predicted.values)  # windows of a long context
    try:
        found = forecast_offline(a, work, chip or _this_machine(trained.model, work.precision))
    except (UnknownReferenceError, DescriptionError) as error:
        if asked.accelerator is not None:
            raise
        return None, str(error)
    return _scaled(found, scale), None


def offline_of(passes: Sequence[Pass], held: str, precision: str) -> Offline:
    """The batches as they were executed, in the mean."""
    sequences = sum(one.sequences for one in passes)

    def mean(values: Iterable[int]) -> int:
        return round(sum(value * one.sequences for value, one in zip(values, passes, strict=True)) / sequences)

    return Offline(
        read=max(1, mean(one.width for one in passes)),
        written=mean(one.written for one in passes),
        batch_sequences=max(1, round(sequences / len(passes))),
        beams=passes[0].beams,
        held=held,
        precision=precision,
        everywhere=all(one.asked == "all" and not one.written for one in passes),
    )


def _scaled(found: OfflineForecast, scale: float) -> OfflineForecast:
    """The forecast of an example that is several sequences."""
    t = found.time_per_example_s
    time_s = replace(t, value=t.value * scale, low=t.low * scale, high=t.high * scale)
    return replace(found, time_per_example_s=time_s, flop_per_example=round(found.flop_per_example * scale))


def _this_machine(model: Transformer, precision: str) -> Measured:
    """What this processor was seen to do just now."""
    from tonne.train.machine import seen  # noqa: PLC0415 - as above

    found = seen(model, precision)
    return Measured(
        name=f"this machine ({found.threads} thread{'s' if found.threads > 1 else ''})",
        peak_flop_per_s=found.peak_flop_per_s,
        bandwidth_bytes_per_s=found.bandwidth_bytes_per_s,
    )
