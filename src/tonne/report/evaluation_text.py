"""An evaluation as lines of text: metrics with intervals, then what an example took beside what was to be expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tonne.report import numbers
from tonne.report.numbers import count_text, rounded, short
from tonne.report.text import listed

TIME_S = (*numbers.TIME_S, (1e-3, "ms"), (1e-6, "µs"))
WORK_FLOP = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1.0, "FLOP"))
NAME, VALUE, INTERVAL = 18, 14, 20
PERCENT = ("accuracy", "exact_match")  # shares; other scores to 100 stand bare, as papers print them
LIKELIHOODS = ("perplexity", "bits_per_byte")
FULL = 0.9  # of the tokens; below it padding is worth a word


def evaluation_lines(document: Mapping[str, Any]) -> list[str]:
    """The document of ``tonne evaluate`` as text."""
    task, examples = document["task"]["name"], document["examples"]
    head = f"{document['model']}: {task}, {count_text(examples)} example(s) of {', '.join(document['data'])}"
    text = [head, "", f"{'metric':<{NAME}}{'value':<{VALUE}}{'5 - 95 %':<{INTERVAL}}signature"]
    text += [_metric(name, score) for name, score in document["metrics"].items()]
    text += ["", *_effort(document), *_remarks(document)]
    return text


def _metric(name: str, score: Mapping[str, Any]) -> str:
    unit, places = " %" if name in PERCENT else "", 3 if name in LIKELIHOODS else 1
    value = f"{score['value']:.{places}f}"
    interval = "-" if score["low"] is None else f"{score['low']:.{places}f} - {score['high']:.{places}f}{unit}"
    return f"{name:<{NAME}}{value + unit:<{VALUE}}{interval:<{INTERVAL}}{score['signature']}"


def _effort(document: Mapping[str, Any]) -> Iterator[str]:
    """What an example took, beside the forecast of it."""
    found, expected = document["measured"], document["forecast"]
    chip = "" if expected is None else f"forecast for {expected['chip']}"
    yield f"{'an example':<{NAME}}{'measured':<{VALUE}}{chip}"
    forecast = {"time": "", "FLOP": ""}
    if expected is not None:
        time_s = expected["time_per_example_s"]
        low, high = (short(time_s[end], TIME_S, 2) for end in ("low", "high"))
        forecast = {
            "time": f"{short(time_s['value'], TIME_S, 2)} [{low}, {high}] ({time_s['basis']})",
            "FLOP": short(expected["flop_per_example"], WORK_FLOP),
        }
    yield f"{'time':<{NAME}}{short(found['time_per_example_s'], TIME_S):<{VALUE}}{forecast['time']}".rstrip()
    yield f"{'processor time':<{NAME}}{short(found['cpu_s_per_example'], TIME_S)}"
    executed = short(found["executed_flop_per_example"], WORK_FLOP)
    yield f"{'FLOP, executed':<{NAME}}{executed:<{VALUE}}{forecast['FLOP']}".rstrip()
    yield f"{'FLOP, no padding':<{NAME}}{short(found['flop_per_example'], WORK_FLOP)}"


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    found = document["measured"]
    yield ""
    yield (
        f"{count_text(found['tokens_read'])} tokens read, {count_text(found['tokens_written'])} written in "
        f"{short(found['elapsed_s'], TIME_S)} on {found['device']}; {rounded(100 * found['fill'], 3)} % of the places "
        f"in batches were tokens."
    )
    notes = list(document["notes"])
    if document["cut_examples"]:
        notes.append(
            f"{document['cut_examples']:,} example(s) were longer than the limit and lost their end: "
            f"--max-source-length reads more, where the model has positions for it."
        )
    if found["fill"] < FULL:
        notes.append("much is padding or waits for the longest of its batch: a smaller --batch pads less.")
    if document.get("forecast_missing"):
        notes.append(f"no forecast: {document['forecast_missing']}")
    yield from (line for note in notes for line in listed("Note", [note]))
