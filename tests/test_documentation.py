"""What the pages show works: commands, Python blocks, plan files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


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


@pytest.mark.slow
@pytest.mark.parametrize("command", shown_commands())
def test_shown_command_runs(command):
    words = shlex.split(command, comments=True)
    code = "from tonne.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


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
