"""How results show themselves: the same rows as HTML and in a terminal, nothing read as markup."""

import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.console import Console

import tonne
from tonne.ledger.records import Run, Work

NAME = "<b>a & b</b> [red]c[/red]"


@pytest.fixture
def forecast():
    """1e5 hours of 500 W (boards 400, hosts 100) at PUE 1.2, in no place that is known."""
    sections = {
        "name": NAME,
        "cluster": {
            "accelerator": "A100-80GB",
            "accelerators": 64,
            "accelerator_power_w": 400.0,
            "network_power_w": 0.0,
        },
        "schedule": {"accelerator_hours": 1e5},
        "site": {"pue": {"value": 1.2, "low": 1.1, "high": 1.4, "source": "own meter"}},
    }
    sections["cluster"]["host_power_w"] = 100.0
    return tonne.forecast(tonne.TrainingPlan.from_fields(sections))


def rows_of(html):
    """Cells by the first one, of well-formed HTML (read as XML)."""
    table = ET.fromstring(html).find("table")
    cells = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    return {row[0]: row[1:] for row in cells}


def printed(result):
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(result)
    return console.file.getvalue()


def test_values_stand_with_interval_basis_and_driver(forecast):
    rows = rows_of(forecast._repr_html_())
    assert rows["quantity"] == ["value", "5 - 95 %", "basis", "main driver of spread"]
    # 50 MWh x 1.2 [1.1, 1.4]
    assert rows["Energy, facility"] == ["60 MWh", "55 - 70 MWh", "published", "PUE 100%"]
    assert rows["of it IT"][:2] == ["50.0 MWh", "exact"]


def test_what_is_unknown_says_why(forecast):
    rows = rows_of(forecast.account._repr_html_())
    assert rows["CO2e, grid"] == ["unknown: no place given"]
    assert "CO2e, market" not in rows


def test_names_are_text_and_not_markup(forecast):
    html = forecast._repr_html_()
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in html
    assert NAME in "".join(ET.fromstring(html).itertext())
    assert NAME in printed(forecast)


def test_nothing_is_run_or_loaded(forecast):
    html = forecast._repr_html_().lower()
    for word in ("<script", "http://", "https://", "url(", "@import", " id="):
        assert word not in html


def test_a_terminal_shows_the_same_rows(forecast):
    text = printed(forecast.account)
    for label, cells in rows_of(forecast.account._repr_html_()).items():
        if label != "quantity":
            line = next(line for line in text.splitlines() if line.startswith(label))
            assert all(cell in line for cell in cells)


def test_a_run_stands_beside_its_forecast(forecast):
    run = Run(
        id="run-1", name="<i>", kind="measured", status="finished", begun_unix_s=86400.0, purpose="final",
        account=forecast.account, forecast=forecast.account, work=Work(tokens=1_500_000, loss=2.5),
    )  # fmt: skip
    html = run._repr_html_()
    rows = rows_of(html)
    assert rows["quantity"][-1] == "forecast"
    assert rows["Energy, facility"][-1] == "60 MWh (55 - 70 MWh)"
    assert rows["Loss"][0] == "2.500"
    assert rows["Tokens seen"][0] == "1.500M"
    assert "measured, finished · run-1 · 1970-01-02 00:00 UTC · final" in html
    assert "CO2e, grid" in printed(run)


def test_a_run_without_an_account_shows_what_is_known(forecast):
    run = Run(id="run-1", name="n", kind="measured", status="running", begun_unix_s=0.0)
    assert "no account yet" in run._repr_html_()
    assert "no account yet" in printed(run)


def test_unknown_energy_is_the_reason_for_unknown_carbon(forecast):
    account = replace(forecast.account, energy=replace(forecast.account.energy, facility_kwh=None))
    assert rows_of(account._repr_html_())["CO2e, grid"] == ["unknown: its energy is unknown"]


def test_results_do_not_load_what_draws_them():
    loaded = "[name for name in sys.modules if name.startswith(('rich', 'tonne.report'))]"
    code = f"import sys, tonne.account, tonne.ledger.records; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_narrow_terminal_cuts_nothing_off(forecast):
    console = Console(width=70, file=io.StringIO())
    console.print(forecast)
    text = console.file.getvalue()
    assert "Accelerator-hours" in text
    assert "…" not in text
