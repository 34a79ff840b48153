"""`tonne data prepare` and `tonne tokenizer train`: from text to tokens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.describe.architecture import Architecture
from tonne.describe.data import Data, Tokenizer
from tonne.describe.plan import described, plan_fields
from tonne.documents import SCHEMA_VERSION
from tonne.errors import DescriptionError
from tonne.report.numbers import SIZE_BYTES, short
from tonne.train.prepare import Progress, Reporter, store_for, tokenizer_for
from tonne.train.store import TokenStore
from tonne.train.tokenizer import TextTokenizer

DATA_FIELDS = ("format", "columns", "documents", "split", "validation_fraction")
TOKENIZER_FIELDS = ("file", "kind", "vocabulary", "lowercase")
LABEL = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRun:
    """What a plan file and the options say of text and tokens."""

    data: Data
    tokenizer: Tokenizer
    objective: str
    vocabulary: int | None  # of the model, where it is described


def prepare(source: str, given: Mapping[str, Any], *, output: str, as_json: bool) -> None:
    """Write a token store, or say what is in the one that is there."""
    run = text_run(source, given)
    with _progress() as report:
        store = store_for(
            run.data,
            run.tokenizer,
            Path(output),
            objective=run.objective,
            vocabulary=run.vocabulary,
            report=report,
        )
    found = _of_store(store, run.data.validation_fraction)
    if as_json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "store": found}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_store_lines(found)))


def train_tokenizer(source: str, given: Mapping[str, Any], *, output: str, as_json: bool) -> None:
    """Write a tokenizer that was trained on the text that is not held out."""
    run = text_run(source, given)
    if run.tokenizer.file is not None:
        raise DescriptionError(
            f"[tokenizer] file = {run.tokenizer.file!r} names one that exists. Leave it out to train."
        )
    tokenizer = tokenizer_for(run.tokenizer, run.data, objective=run.objective, vocabulary=run.vocabulary)
    file = tokenizer.save(Path(output))
    found = _of_tokenizer(tokenizer, file)
    if as_json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "tokenizer": found}, indent=2, ensure_ascii=False))
    else:
        special = ", ".join(f"{role} {number}" for role, number in found["special"].items())
        lines = {"Tokenizer": str(file), "vocabulary": f"{tokenizer.vocabulary:,}", "special": special}
        print("\n".join(_line(name, value) for name, value in lines.items()))


def text_run(source: str, given: Mapping[str, Any]) -> TextRun:
    """The sections that say what to read, of a plan file or of a source named alone, overridden by the options.

    Raises:
        TonneError: The file cannot be read, or a field is wrong.
    """
    fields = plan_fields(source) if source.endswith(".toml") else {"data": {"source": source}}
    data = {**fields.get("data", {}), **{name: given[name] for name in DATA_FIELDS if name in given}}
    data.setdefault("tokens", 1)  # how long one trains says nothing about what is prepared
    chosen = {name: given[name] for name in TOKENIZER_FIELDS if name in given}
    # A tokenizer named on the command line replaces the plan's, which may say how to train one.
    tokenizer = chosen if "file" in chosen else {**fields.get("tokenizer", {}), **chosen}
    return TextRun(
        data=described(Data, data, origin=f"{source}: [data]"),
        tokenizer=described(Tokenizer, tokenizer, origin=f"{source}: [tokenizer]"),
        objective=given.get("objective") or fields.get("training", {}).get("objective", "causal-lm"),
        vocabulary=_vocabulary(fields, source),
    )


def _vocabulary(fields: Mapping[str, Any], origin: str) -> int | None:
    """Of the model that a plan describes; None where it describes none, or takes it from a model that exists."""
    section = fields.get("architecture")
    return None if section is None else described(Architecture, section, origin=f"{origin}: [architecture]").vocabulary


@contextmanager
def _progress() -> Iterator[Reporter | None]:
    """A line on stderr that follows the work; none where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import Progress as Bar  # noqa: PLC0415
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading")

        def report(seen: Progress) -> None:
            files = f"file {seen.sources_done + 1:,} of {seen.sources:,}"
            bar.update(task, description=f"{files} · {seen.documents:,} documents · {short(seen.tokens)} tokens")

        yield report


def _of_store(store: TokenStore, fraction: float) -> dict[str, Any]:
    """What is in a store, as a document of plain values."""
    training, held = store.training(fraction), store.validation(fraction)
    return {
        "folder": str(store.folder),
        "records": store.records,
        "tokens": int(store.sidecar["tokens"]),
        "text_bytes": store.sidecar["text_bytes"],
        "vocabulary": store.vocabulary,
        "vocabulary_hash": store.sidecar["vocabulary_hash"],
        "dtype": store.sidecar["dtype"],
        "training": {"records": len(training.records), "tokens": training.tokens, "text_bytes": training.text_bytes},
        "validation": {"records": len(held.records), "tokens": held.tokens, "text_bytes": held.text_bytes},
        "sources": len(store.sidecar["sources"]),
    }


def _store_lines(found: dict[str, Any]) -> list[str]:
    """The same as text."""
    known = found["text_bytes"] is not None
    text = (
        short(found["text_bytes"], SIZE_BYTES)
        if known
        else "unknown: the sources hold tokens, and no tokenizer is named"
    )
    a_token = f", {found['text_bytes'] / found['tokens']:.2f} bytes a token" if known else ""
    held = found["validation"]
    lines = {
        "Store": found["folder"],
        "records": f"{found['records']:,} of {found['sources']:,} file(s)",
        "tokens": f"{found['tokens']:,} ({found['dtype']}{a_token})",
        "text": text,
        "vocabulary": f"{found['vocabulary']:,}" if found["vocabulary"] else "unknown",
        "held out": f"{held['records']:,} records, {held['tokens']:,} tokens" if held["records"] else "nothing",
    }
    return [_line(name, value) for name, value in lines.items()]


def _of_tokenizer(tokenizer: TextTokenizer, file: Path) -> dict[str, Any]:
    """What a tokenizer is, as a document of plain values."""
    special = {role: number for role, number in tokenizer.special.as_dict().items() if isinstance(number, int)}
    return {
        "file": str(file),
        "vocabulary": tokenizer.vocabulary,
        "vocabulary_hash": tokenizer.vocabulary_hash,
        "special": special,
        "sentinels": len(tokenizer.special.sentinels),
    }


def _line(label: str, value: str) -> str:
    return f"{label:<{LABEL}}{value}"
