"""The commands of tonne. Each loads what it needs when it is called, so that all of them start fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TYPER_USE_RICH", "0")  # plain help starts in half the time

import typer

from tonne import __version__
from tonne.cli import checking, comparing, exporting, ledgers, measuring, reconciling, reporting, train_commands
from tonne.cli.groups import EXIT_INTERNAL, Commands, Json, OwnCalibration

app = typer.Typer(
    name="tonne",
    cls=Commands,
    help="What training a transformer language model takes and emits.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tonne {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """What training a transformer language model takes and emits."""


@app.command()
def forecast(
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN_OR_MODEL", help="A plan file (TOML), or a model such as gpt-3-175b.")
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens trained on, e.g. 300B.")] = None,
    accelerators: Annotated[str | None, typer.Option(help="How many of which, e.g. 1024xA100-80GB.")] = None,
    accelerator_hours: Annotated[str | None, typer.Option(help="Chip-hours where known, e.g. 1.08M.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Tokens in a sequence.")] = None,
    global_batch: Annotated[int | None, typer.Option(help="Sequences in a step.")] = None,
    origin: Annotated[str | None, typer.Option("--from", help="What to fine-tune: model, folder or plan.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Freeze the model, train adapters of this rank.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 tf32 fp16 bf16 fp8 fp4.")] = None,
    goodput: Annotated[float | None, typer.Option(help="Useful share of the time, 0 to 1.")] = None,
    utilisation: Annotated[float | None, typer.Option(help="Share of the peak reached while stepping, 0 to 1.")] = None,
    measured_step_s: Annotated[float | None, typer.Option(help="Time of one step of this plan, measured [s].")] = None,
    power_cap_w: Annotated[float | None, typer.Option(help="Power limit of an accelerator [W].")] = None,
    grid: Annotated[str | None, typer.Option(help="Grid zone, e.g. FR.")] = None,
    region: Annotated[str | None, typer.Option(help="Cloud region, e.g. aws:eu-central-1.")] = None,
    site: Annotated[str | None, typer.Option(help="Grid zone, provider:region or a TOML file.")] = None,
    grid_gco2e_per_kwh: Annotated[float | None, typer.Option(help="Carbon intensity where known [g/kWh].")] = None,
    grid_basis: Annotated[str | None, typer.Option(help="lifecycle or direct.")] = None,
    pue: Annotated[float | None, typer.Option(help="Power usage effectiveness, at least 1.")] = None,
    wue: Annotated[float | None, typer.Option(help="Water used on site [L/kWh of IT].")] = None,
    usd_per_kwh: Annotated[float | None, typer.Option(help="Price of electricity.")] = None,
    usd_per_accelerator_hour: Annotated[float | None, typer.Option(help="Price of an accelerator-hour.")] = None,
    start: Annotated[str | None, typer.Option(help="When it starts, e.g. 2026-12-01.")] = None,
    overhead: Annotated[float | None, typer.Option(help="Failed runs and sweeps, as a multiple of the run.")] = None,
    inference: Annotated[bool, typer.Option("--inference", help="What using the model will take, too.")] = False,
    requests: Annotated[str | None, typer.Option(help="Of its use, in all, e.g. 1B.")] = None,
    requests_per_day: Annotated[str | None, typer.Option(help="Of its use, e.g. 10M.")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Tokens in a prompt.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Tokens in an answer.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences that a replica decodes together.")] = None,
    weight_precision: Annotated[str | None, typer.Option(help="Of the served weights: bf16 fp8 int8 fp4 int4.")] = None,
    inference_accelerator: Annotated[str | None, typer.Option(help="Accelerator that serves, e.g. L40S.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Each number: equation, inputs, sources.")] = False,
    own_calibration: OwnCalibration = True,
    project: Annotated[str | None, typer.Option(help="What it belongs to, for the ledger.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word by which to find it; may be repeated.")] = None,
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Do not keep it.")] = False,
    json: Json = False,
) -> None:
    """What a planned training run will take: time, energy, CO2e, water and money."""
    from tonne.cli import forecasts, options  # noqa: PLC0415 - see the module's docstring

    given = {name: value for name, value in locals().items() if name in options.FIELD_OF and value is not None}
    place = options.Place(site=site, grid=grid, region=region, gco2e_per_kwh=grid_gco2e_per_kwh)
    inference = inference or any(options.FIELD_OF[name][0] == "inference" for name in given)
    planned = options.plan_from(plan, given, accelerators, place, with_inference=inference)
    kept = forecasts.Kept(wanted=not no_ledger, project=project, tags=tuple(tag or ()))
    forecasts.run(
        planned, as_json=json, explained=explain, with_inference=inference, own_runs=own_calibration, kept=kept
    )


@app.command()
def count(
    model: Annotated[str, typer.Argument(metavar="NAME|FOLDER|config.json", help="A model, or where it lies.")],
    sequence_length: Annotated[int | None, typer.Option(help="Tokens in a sequence.", min=1)] = None,
    json: Json = False,
) -> None:
    """Parameters, FLOP and memory of a model."""
    from tonne.cli import counts  # noqa: PLC0415 - see the module's docstring

    counts.run(model, sequence_length=sequence_length, as_json=json)


@app.command()
def generate(
    folder: Annotated[str, typer.Argument(help="Of a model in the layout of Hugging Face, with its tokenizer.json.")],
    prompt: Annotated[str | None, typer.Option(help="Text to go on from; left out, standard input.")] = None,
    file: Annotated[str | None, typer.Option(help="A file with that text.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Where to stop at the latest; left out, 128.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Draw at random; below 1 more certain.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many of the most probable tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the most probable of this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the same again.")] = None,
    beams: Annotated[int | None, typer.Option(help="Search so many continuations side by side.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Of a search: above 0, longer ones gain.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A text at which to stop; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """What a model makes of a prompt, as it comes."""
    from tonne.cli import generate as command  # noqa: PLC0415 - see the module's docstring

    choice = command.Choice(
        temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, beams=beams, length_penalty=length_penalty
    )
    text = command.Text(prompt=prompt, file=file)
    command.run(folder, text, choice, max_new_tokens=max_new_tokens, stop=stop or [], as_json=json)


@app.command()
def reference(
    table: Annotated[str, typer.Argument(help="accelerators, nodes, grids, regions, embodied, architectures, ...")],
    query: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    json: Json = False,
) -> None:
    """Values of the reference tables with source, year, licence and basis."""
    from tonne.cli import tables  # noqa: PLC0415 - see the module's docstring

    tables.run(table, query, as_json=json)


@app.command()
def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 where a part has no sensor.")] = False,
    json: Json = False,
) -> None:
    """What this machine can measure, what it cannot, why, and the command that mends it."""
    from tonne.cli import doctor as command  # noqa: PLC0415 - see the module's docstring

    command.run(as_json=json, strict=strict)


@app.command()
def validate(
    rows: Annotated[bool, typer.Option("--rows", help="Each published run too.")] = False,
    inference: Annotated[bool, typer.Option("--inference", help="Of using models, not of training them.")] = False,
    throughput: Annotated[bool, typer.Option("--throughput", help="Of step times, cross-validated.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Of the accelerators' memory, cross-validated.")] = False,
    refit: Annotated[bool, typer.Option("--refit", help="With --throughput: fit anew, here and now.")] = False,
    json: Json = False,
) -> None:
    """Forecasts beside what was published about real runs."""
    from tonne.cli import validations  # noqa: PLC0415 - see the module's docstring

    if memory:
        validations.run_memory(with_rows=rows, as_json=json)
    elif throughput:
        validations.run_steps(with_rows=rows, as_json=json, refit=refit)
    else:
        validations.run(with_rows=rows, as_json=json, of_inference=inference)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Of a finished run, or of a model with its tokenizer.json.")],
    data: Annotated[list[str], typer.Option(help="Labelled examples: files, folders, builtin:NAME; may be repeated.")],
    task: Annotated[str | None, typer.Option(help="Left out: the one that the folder was fine-tuned for.")] = None,
    format: Annotated[str | None, typer.Option(help="jsonl json csv tsv parquet arrow squad parallel.")] = None,
    split: Annotated[str, typer.Option(help="Of an Arrow folder that holds several.")] = "test",
    column: Annotated[list[str] | None, typer.Option(help="role=column, e.g. text=sentence; may be repeated.")] = None,
    metric: Annotated[str | None, typer.Option(help="The one that is wanted; left out, all of the task.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Only so many examples.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences read side by side.")] = 32,
    beams: Annotated[int | None, typer.Option(min=1, help="Search so many continuations side by side.")] = None,
    stride: Annotated[int | None, typer.Option(min=0, help="Tokens that windows of a long context share.")] = None,
    max_source_length: Annotated[int | None, typer.Option(help="Of an input, at most [token].")] = None,
    max_target_length: Annotated[int | None, typer.Option(help="Of what is written, at most [token].")] = None,
    precision: Annotated[str, typer.Option(help="bf16: products in 16 bits; left out, as the weights are.")] = "fp32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; left out, the processor.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="Forecast for this one instead of the one at hand.")] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Of the examples, for the intervals; 0: none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    predictions: Annotated[Path | None, typer.Option(help="Write what was predicted to this file (JSONL).")] = None,
    json: Json = False,
) -> None:
    """How good a model's predictions are, with intervals; time and FLOP of an example, beside their forecast."""
    from tonne.cli import evaluation  # noqa: PLC0415 - see the module's docstring

    given = {name: value for name, value in locals().items() if name in evaluation.OPTIONS and value is not None}
    given |= {name: tuple(given.get(name, ())) for name in ("data", "column")}
    evaluation.run(folder, evaluation.Asked(**given), as_json=json)


data_app = typer.Typer(help="Text to train on.", no_args_is_help=True, rich_markup_mode=None)
tokenizer_app = typer.Typer(help="Tokenizers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.add_typer(tokenizer_app, name="tokenizer")
TextSource = Annotated[
    str, typer.Argument(metavar="PLAN_OR_SOURCE", help="A plan file (TOML), files, a folder, or 'builtin'.")
]
Objective = Annotated[
    str | None, typer.Option(help="What the model learns; it says which special tokens there are, e.g. masked-lm.")
]
Kind = Annotated[str | None, typer.Option(help="bpe (of bytes), wordpiece or unigram.")]
Vocabulary = Annotated[int | None, typer.Option(help="Ids of a tokenizer that is trained, at most.")]
Lowercase = Annotated[bool | None, typer.Option("--lowercase", help="Read upper case as lower case.")]
Format = Annotated[str | None, typer.Option(help="text jsonl csv tsv parquet arrow nanogpt-bin modded-nanogpt-bin.")]
Column = Annotated[
    list[str] | None, typer.Option(help="Column of the text; given twice, of the source and of its target.")
]
Documents = Annotated[str | None, typer.Option(help="What a document of a text is: file, paragraph or line.")]
Split = Annotated[str | None, typer.Option(help="Of an Arrow folder that holds several.")]
HeldOut = Annotated[float | None, typer.Option(help="Share of the documents for validation, 0 to 0.5.")]


@data_app.command("prepare")
def data_prepare(
    source: TextSource,
    output: Annotated[str, typer.Option(help="Folder of the token store.")],
    tokenizer: Annotated[str | None, typer.Option(help="A tokenizer.json; left out, one is trained.")] = None,
    objective: Objective = None,
    kind: Kind = None,
    vocabulary: Vocabulary = None,
    lowercase: Lowercase = None,
    format: Format = None,
    column: Column = None,
    documents: Documents = None,
    split: Split = None,
    validation_fraction: HeldOut = None,
    json: Json = False,
) -> None:
    """Make tokens of text, in a store that training maps; stopped, it goes on where it was."""
    from tonne.cli import data, options  # noqa: PLC0415 - see the module's docstring

    data.prepare(source, options.text_options(locals()), output=output, as_json=json)


@tokenizer_app.command("train")
def tokenizer_train(
    source: TextSource,
    output: Annotated[str, typer.Option(help="Folder of the tokenizer.")],
    objective: Objective = None,
    kind: Kind = None,
    vocabulary: Vocabulary = None,
    lowercase: Lowercase = None,
    format: Format = None,
    column: Column = None,
    documents: Documents = None,
    split: Split = None,
    validation_fraction: HeldOut = None,
    json: Json = False,
) -> None:
    """Train a tokenizer on text; transformers loads what it writes."""
    from tonne.cli import data, options  # noqa: PLC0415 - see the module's docstring

    data.train_tokenizer(source, options.text_options(locals()), output=output, as_json=json)


measuring.add_to(app)
ledgers.add_to(app)
reconciling.add_to(app)
exporting.add_to(app)
checking.add_to(app)
reporting.add_to(app)
comparing.add_to(app)
train_commands.add_to(app)


def run() -> None:
    """The entry point: errors that nobody can mend are one line on stderr, and exit code 1."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INTERNAL)
    except Exception as error:
        if os.environ.get("TONNE_DEBUG"):
            raise
        print(
            f"Internal error: {type(error).__name__}: {error}. This is a fault of tonne, please report it; "
            f"TONNE_DEBUG=1 shows where it happened.",
            file=sys.stderr,
        )
        sys.exit(EXIT_INTERNAL)


if __name__ == "__main__":
    run()
