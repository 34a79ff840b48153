"""All of tonne in two minutes on two cores: forecast, pre-train, fine-tune, measure, reconcile, report.

Run with `make demo`, or `python examples/demo.py [--folder demo] [--site FR] [--tokens 450000]`. Nothing is downloaded:
the text is the documentation that the Python interpreter carries. Everything is written below one folder; what an
earlier call learned of this machine is kept there, so that a second call forecasts better.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import published_runs

import tonne

HERE = Path(__file__).resolve().parent
TOKENS = 450_000  # of pre-training: about 75 s of one core
PUBLISHED = "bloom-176b"
PROJECT = "demo"
RUNS = ("gpt", "classify")
TUNING_EPOCHS = 0.5


def main() -> int:
    """The whole demonstration; the exit status of the first command that fails."""
    asked = _asked()
    if importlib.util.find_spec("torch") is None:
        print(
            "The demo trains, and torch is not installed. Run: make demo, or pip install 'tonne[report,train,metrics]'"
        )
        return 2
    folder = Path(os.path.relpath(asked.folder))
    os.environ["TONNE_HOME"] = str(asked.folder.resolve() / "home")
    _begin(folder, asked.tokens)
    begun_s = time.monotonic()
    _title("Before: a run that was published, forecast from its plan file")
    _published()
    place = ("--site", asked.site, "--project", PROJECT)
    _title("During: a small GPT, pre-trained and measured")
    _tonne("train", f"{folder}/gpt.toml", "--output", f"{folder}/gpt", *place)
    _title("During: and taught a task")
    _tonne("finetune", f"{folder}/classify.toml", "--output", f"{folder}/classify", *place, until="  Energy x")
    runs = {name: json.loads((folder / name / "metered.json").read_text(encoding="utf-8"))["run"] for name in RUNS}
    _title("After: why it was not quite as forecast, and what is published of it")
    _tonne("reconcile", runs["gpt"], until="  Energy")
    _tonne("export", runs["classify"], "--as", "model-card", until="- **Method**", without="[missing")
    _tonne("report", runs["gpt"], "--output", f"{folder}/report.html")
    _tonne("export", "--project", PROJECT, "--as", "eu-form", "--output", f"{folder}/eu-form.md", until="missing")
    _where(folder, time.monotonic() - begun_s)
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="All of tonne in two minutes.")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "demo", help="everything is written below it")
    parser.add_argument("--site", default="FR", help="where this machine stands: grid zone, provider:region, TOML file")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of pre-training")
    return parser.parse_args()


def _begin(folder: Path, tokens: int) -> None:
    """The folder with two plan files; runs of an earlier call make room."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RUNS:
        shutil.rmtree(folder / name, ignore_errors=True)
    steps = max(tokens // 1024, 1)
    seldom = "evaluation_sequences = 128\nlog_every = 1000000"
    gpt = {
        r"^name = .*": 'name = "demo-gpt"',
        r"^tokens = .*": f"tokens = {tokens}",
        r"^expected_loss = .*\n": "",
        r"^sample_tokens = .*": f"evaluate_every = {-(-steps // 2)}\n{seldom}",
        r"^\[cluster\](.*\n)*": "",  # the machine at hand
    }
    classify = {
        r"^name = \"finetune-classify\"": 'name = "demo-classify"',
        r"^from = .*": 'from = "gpt/model"',
        r"^pooling = .*\n": "",  # a class of transformers then loads the model
        r"^max_source_length = .*": "max_source_length = 128",
        r"^epochs = .*": f"epochs = {TUNING_EPOCHS if tokens >= TOKENS else 0.02}",
        r"^\[cluster\](.*\n)*": f"[run]\nevaluate_every = 1000000\n{seldom}\n",
    }
    for name, plan, changes in (("gpt", "pretrain-gpt", gpt), ("classify", "finetune-classify", classify)):
        text = (HERE / f"{plan}.toml").read_text(encoding="utf-8")
        (folder / f"{name}.toml").write_text(_changed(text, changes), encoding="utf-8")


def _changed(text: str, changes: dict[str, str]) -> str:
    """A plan file with some of its lines changed; one that is not there is a fault."""
    for pattern, line in changes.items():
        text, count = re.subn(pattern, line, text, count=1, flags=re.MULTILINE)
        assert count == 1, f"no line of the plan is {pattern}"
    return text


def _published() -> None:
    """A forecast beside what was published."""
    run = next(one for one in published_runs.published_runs() if one.plan == PUBLISHED)
    plan = tonne.TrainingPlan.from_toml(HERE / f"{run.plan}.toml")
    print(f"{'':<26}{'forecast [5 %, 95 %]':<34} published")
    published_runs.print_run(run, tonne.forecast(plan))


def _tonne(*words: str, until: str | None = None, without: str | None = None) -> None:
    """A command of tonne, shown as a user writes it; its lines come as it says them, empty ones left out.

    Args:
        words: The command.
        until: Begin of the line from which on the rest is left to whoever calls it again.
        without: Lines with this in them are left out too.
    """
    print(f"$ tonne {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "tonne.cli.entry", *words]
    # On a terminal the live line is left as it is; elsewhere standard error joins the rest in its order.
    errors = None if sys.stderr.isatty() else subprocess.STDOUT
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    is_over, left_out = False, 0
    for line in io.TextIOWrapper(process.stdout, encoding="utf-8"):
        is_over = is_over or (until is not None and line.startswith(until))
        if is_over or (without is not None and without in line):
            left_out += bool(line.strip())
        elif line.strip():
            print(line, end="", flush=True)
    if left_out:
        print(f"({left_out} more lines)")
    if process.wait():
        print(f"This command ended with status {process.returncode}; the demo ends here.")
        sys.exit(process.returncode)


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _where(folder: Path, lasted_s: float) -> None:
    """Where everything is."""
    _title(f"All of it took {lasted_s / 60:.1f} min. Where things are:")
    rows = {
        f"{folder}/gpt/model, {folder}/classify/model": "the models, as transformers loads them",
        f"{folder}/report.html": "the report of the pre-training, to open in a browser",
        f"{folder}/eu-form.md": "a draft of what the EU's AI Act asks of both runs",
        f"{folder}/gpt.toml, {folder}/classify.toml": "the plans: change them, and train again",
        f"TONNE_HOME={folder}/home tonne runs": "both runs in the ledger",
        f"TONNE_HOME={folder}/home tonne reconcile": "how often forecasts held so far",
    }
    width = max(map(len, rows))
    print("\n".join(f"{place:<{width}}  {text}" for place, text in rows.items()))


if __name__ == "__main__":
    sys.exit(main())
