"""Whole forms of a small plan. After a change that is meant, write them anew and review them like code:

for form in eu-form latex sci; do tonne export tests/golden/plan.toml --as $form > tests/golden/$form.txt; done
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app

HASH = re.compile(r"\b[0-9a-f]{64}\b|forecast-[0-9a-f]{8}")  # of a plan, which may gain fields
HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("form", ["eu-form", "latex", "sci"])
def test_form_of_small_plan(form):
    result = CliRunner().invoke(app, ["export", str(HERE / "plan.toml"), "--as", form])
    assert result.exit_code == 0
    kept = (HERE / f"{form}.txt").read_text(encoding="utf-8")
    assert HASH.sub("#", result.stdout) == HASH.sub("#", kept)
