"""What the pages show is so: commands, Python blocks, plan files, equations, the sample of output, presets.

Equations, output and the page of presets follow the code: TONNE_UPDATE_PAGES=1 rewrites them on the pages (see what
changed with git diff).
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tonne"
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
METHOD_PAGES = {  # the files whose equations a page repeats, in the page's order
    "count.md": ["count/layers.py", "count/conventions.py"],
    "memory.md": [
        "count/activations.py",
        "count/stages.py",
        "count/stage_memory.py",
        "count/fit.py",
        "calibrate/measured_memory.py",
    ],
    "finetuning.md": ["count/adapters.py"],
    "timing.md": [
        "timing/operations.py",
        "timing/collectives.py",
        "timing/step_time.py",
        "timing/search.py",
        "calibrate/batches.py",
        "timing/goodput.py",
        "forecasting/lost_time.py",
        "reference/families.py",
        "calibrate/families.py",
        "reference/step_residuals.py",
        "calibrate/utilisation.py",
        "reference/goodput.py",
        "reference/pace.py",
        "timing/steps.py",
        "timing/power_cap.py",
    ],
    "energy.md": ["energy/power.py"],
    "impact.md": ["impact/equations.py"],
    "measuring.md": [
        "measure/integration.py",
        "measure/sensors/protocol.py",
        "measure/choice.py",
        "measure/sensors/users.py",
        "measure/models/cpu.py",
        "measure/models/memory.py",
        "measure/models/host.py",
        "measure/attribution.py",
        "measure/progress.py",
    ],
    "reconciling.md": [
        "reconcile/factors.py",
        "reconcile/spreads.py",
        "calibrate/own_spreads.py",
        "forecasting/own.py",
    ],
    "uncertainty.md": ["estimate.py", "planning/pairing.py", "planning/comparison.py"],
    "inference.md": [
        "count/inference.py",
        "timing/inference.py",
        "energy/inference.py",
        "calibrate/inference.py",
        "forecasting/offline.py",
    ],
    "inference-validation.md": ["validation/inference_peers.py"],
    "validation.md": ["validation/peers.py"],
}
STAGES = ("calibrate", "count", "energy", "impact", "measure", "reference", "timing", "validation")
UPDATE = os.environ.get("TONNE_UPDATE_PAGES") == "1"
FORECAST = "forecast gpt-3-175b --tokens 300B --accelerators 1024xA100-80GB --grid FR --pue 1.2 --precision bf16"
SAMPLES = {
    "docs/index.md": FORECAST,
    "docs/eu.md": "check eu examples/llama-3.1-405b.toml",
    "docs/method/validation.md": "validate",
    "docs/method/inference.md": "forecast examples/inference-llama-3.1-70b.toml --inference",
    "docs/method/inference-validation.md": "validate --inference",
}


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of each fenced block in that language."""
    return [
        (page.relative_to(ROOT).as_posix(), block)
        for page in PAGES
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ]


def shown_commands() -> list[str]:
    lines = [line for _, block in blocks("console") for line in block.replace("\\\n", " ").splitlines()]
    return sorted({line.removeprefix("$ ") for line in lines if line.startswith("$ tonne ")})


def output_of(*arguments: str) -> str:
    """What `tonne` prints on standard output."""
    code = "from tonne.cli.main import run; run()"
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", shown_commands())
def test_shown_command_runs(command):
    assert output_of(*shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_shown_python_runs(page, block, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(block, page, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.parametrize(("page", "block"), blocks("toml"))
def test_shown_plan_is_a_plan(page, block):
    import tonne

    plan = tonne.TrainingPlan.model_validate(tomllib.loads(block))
    assert plan.architecture is not None, page
    assert plan.architecture.layers == 96  # GPT-3 175B, Brown et al. 2020, table 2.1


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), SAMPLES.items())
def test_sample_of_output_is_what_the_command_prints(page, command):
    text = (ROOT / page).read_text(encoding="utf-8")
    printed = "\n".join(line.rstrip() for line in output_of(*command.split()).rstrip().splitlines())
    block = f"```console\n$ tonne {command}\n{printed}\n```"
    pattern = r"(<!-- output: begin -->\n).*?(\n?<!-- output: end -->)"
    expected = re.sub(pattern, lambda found: f"{found[1]}{block}\n<!-- output: end -->", text, flags=re.DOTALL)
    if UPDATE:
        (ROOT / page).write_text(expected, encoding="utf-8")
    assert UPDATE or text == expected, "the sample is out of date: TONNE_UPDATE_PAGES=1 rewrites it"


def equations_of(path: Path) -> list[tuple[str, str]]:
    """Name and equation of each public function that has one, in the order of the file."""
    found: list[tuple[str, str]] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            match = re.search(
                r"^Equation: (.+?)(?=\n\s*\n|\Z)", ast.get_docstring(node) or "", re.MULTILINE | re.DOTALL
            )
            if match:
                found.append((node.name, " ".join(match.group(1).split())))
    return found


def test_every_stage_with_equations_is_on_a_page():
    on_pages = {file for files in METHOD_PAGES.values() for file in files}
    files = [path for stage in STAGES for path in sorted((SOURCE / stage).glob("*.py"))]
    assert {path.relative_to(SOURCE).as_posix() for path in files if equations_of(path)} <= on_pages


@pytest.mark.parametrize("page", METHOD_PAGES)
def test_method_page_gives_the_equations_of_the_code_in_their_order(page):
    path, heading = ROOT / "docs" / "method" / page, "## Equations\n"
    text = path.read_text(encoding="utf-8")
    sections = [section_of(file, alone=len(METHOD_PAGES[page]) == 1) for file in METHOD_PAGES[page]]
    expected = text.split(heading)[0] + heading + "".join(sections)
    if UPDATE:
        path.write_text(expected, encoding="utf-8")
    assert UPDATE or text == expected, "the equations are out of date: TONNE_UPDATE_PAGES=1 rewrites them"


def section_of(file: str, *, alone: bool) -> str:
    """The equations of one file as Markdown."""
    text = "" if alone or not equations_of(SOURCE / file) else f"\n### `{file}`\n"
    for name, equation in equations_of(SOURCE / file):
        lines = textwrap.wrap(equation, 106, break_long_words=False, break_on_hyphens=False)
        text += f"\n```text\n{name}\n{textwrap.indent(chr(10).join(lines), '    ')}\n```\n"
    return text


def test_page_of_presets_is_what_the_table_and_the_counts_say():
    from tonne.report.presets_page import page

    path, expected = ROOT / "docs" / "presets.md", page()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if UPDATE:
        path.write_text(expected, encoding="utf-8")
    assert UPDATE or text == expected, "the page of presets is out of date: TONNE_UPDATE_PAGES=1 rewrites it"


@pytest.mark.slow
def test_coefficients_on_the_page_of_timing_are_those_of_the_table():
    from tonne.report.coefficients_page import coefficients_table

    path = ROOT / "docs" / "method" / "timing.md"
    text, found = path.read_text(encoding="utf-8"), coefficients_table()
    begin, end = "<!-- coefficients: begin -->\n", "\n<!-- coefficients: end -->"
    expected = text.split(begin)[0] + begin + found + end + text.split(end)[1]
    if UPDATE:
        path.write_text(expected, encoding="utf-8")
    assert UPDATE or text == expected, "the coefficients are out of date: TONNE_UPDATE_PAGES=1 rewrites them"


def test_page_of_the_time_model_is_what_the_calibration_wrote():
    from tonne.report.steps_page import CHARTS, page, write_charts

    path = ROOT / "docs" / "validation.md"
    text, expected = path.read_text(encoding="utf-8") if path.exists() else "", page()
    if UPDATE:
        path.write_text(expected, encoding="utf-8")
        write_charts(ROOT / "docs" / "images")
    assert UPDATE or text == expected, "the page of step times is out of date: TONNE_UPDATE_PAGES=1 rewrites it"
    assert all((ROOT / "docs" / "images" / f"{name}.svg").is_file() for name in CHARTS)
