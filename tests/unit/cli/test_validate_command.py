"""`tonne validate` prints every gate, and its document holds the same numbers."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app


def called(*arguments: str):
    return CliRunner().invoke(app, ["validate", *arguments])


@pytest.mark.slow
def test_document_and_text_agree():
    found = called("--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert document["schema_version"] == "1"
    text = called("--rows").stdout
    for gate in document["gates"]:
        assert f"Gate {gate['number']}  {gate['name']}: {'holds' if gate['passed'] else 'DOES NOT HOLD'}" in text
        assert len(gate["rows"]) == gate["n"]
        assert all(row["id"] in text for row in [*gate["rows"], *gate["left_out"]])
    assert {"ML CO2 Impact", "Green Algorithms"} <= {name for gate in document["gates"] for name in gate["peers"]}


@pytest.mark.slow
def test_rows_are_listed_only_on_request():
    assert "left out:" in called().stdout
    assert len(called("--rows").stdout) > 2 * len(called().stdout)
