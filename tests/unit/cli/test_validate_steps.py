"""`tonne validate --throughput` prints what the document holds."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.reference.step_residuals import step_residuals


def called(*arguments: str):
    return CliRunner().invoke(app, ["validate", "--throughput", *arguments])


@pytest.mark.slow
def test_text_and_document_agree():
    document = json.loads(called("--json").stdout)
    assert document["schema_version"] == "1"
    assert document["passed"] is True
    assert len(document["rows"]) == len(step_residuals())
    text = called().stdout.splitlines()
    for part in (*document["slices"], *document["sources"]):
        shown = next(line for line in text if line.startswith(part["name"]))
        known = part["known"]
        assert f"{100 * known['median']:.1f} / {100 * known['p90']:.0f} %" in shown
        assert f" {part['n']} " in shown
    assert "DOES NOT HOLD" not in "\n".join(text)
    assert {peer["tool"] for peer in document["peers"]} >= {"Calculon", "llm-analysis", "LLMCarbon"}


@pytest.mark.slow
def test_every_row_is_listed_only_on_request():
    few, every = called().stdout, called("--rows").stdout
    identifiers = {row.id for row in step_residuals()}
    assert sum(line.split(" ")[0] in identifiers for line in few.splitlines()) == 12
    assert {line.split(" ")[0] for line in every.splitlines()} >= identifiers


@pytest.mark.slow
def test_refit_finds_what_the_tables_hold():
    shipped, anew = (json.loads(called("--json", *more).stdout) for more in ((), ("--refit",)))
    for old, new in zip(shipped["rows"], anew["rows"], strict=True):
        assert old["id"] == new["id"]
        for name in ("measured_s", "fitted_s", "known_s", "unseen_s"):
            assert old[name] == pytest.approx(new[name], rel=2e-4)  # see calibrate/test_time_model.py
