"""`tonne data prepare` and `tonne tokenizer train`."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app

pytest.importorskip("tokenizers")
PLAN = """
[architecture]
kind = "decoder"
layers = 2
width = 64
heads = 2
vocabulary = 280
max_positions = 64

[data]
tokens = 1e6
sequence_length = 32
source = "text"
documents = "line"
validation_fraction = 0.2

[tokenizer]
kind = "bpe"

[training]
objective = "causal-lm"
learning_rate_that_is_not_read_here = 1
"""


def tonne(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("\n".join(f"line {i} of the text" for i in range(50)), "utf-8")
    (tmp_path / "plan.toml").write_text(PLAN, "utf-8")
    return tmp_path / "plan.toml"


def test_a_plan_is_prepared_from_its_own_folder(plan, tmp_path):
    done = tonne("data", "prepare", plan, "--output", tmp_path / "store", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["store"]
    assert found["records"] == 50
    assert found["vocabulary"] <= 280  # that of the model
    assert (found["training"]["records"], found["validation"]["records"]) == (40, 10)
    assert found["text_bytes"] == sum(len(f"line {i} of the text") for i in range(50))
    assert found["training"]["tokens"] + found["validation"]["tokens"] == found["tokens"]


def test_text_output_says_what_is_there(plan, tmp_path):
    done = tonne("data", "prepare", plan, "--output", tmp_path / "store")
    assert "50 of 1 file(s)" in done.stdout
    assert "held out      10 records" in done.stdout


def test_options_stand_over_the_plan(plan, tmp_path):
    done = tonne(
        "tokenizer", "train", plan, "--output", tmp_path / "t", "--kind", "wordpiece", "--objective", "masked-lm"
    )
    assert done.exit_code == 0, done.output
    done = tonne("data", "prepare", plan, "--output", tmp_path / "s", "--tokenizer", tmp_path / "t", "--json")
    assert done.exit_code == 0, done.output
    special = json.loads((tmp_path / "s" / "store.json").read_text())["special"]
    assert special["mask"] == 4


def test_columns_are_given_once_or_twice(tmp_path):
    (tmp_path / "pairs.csv").write_text("id,en,de\n1,house,Haus\n2,dog,Hund\n", "utf-8")
    arguments = ("data", "prepare", tmp_path / "pairs.csv", "--vocabulary", 400, "--json", "--output")
    both = tonne(*arguments, tmp_path / "two", "--column", "en", "--column", "de", "--objective", "seq2seq")
    assert both.exit_code == 0, both.output
    assert json.loads((tmp_path / "two" / "store.json").read_text())["fields"] == ["source", "target"]
    one = tonne(*arguments, tmp_path / "one", "--column", "de")
    assert json.loads(one.stdout)["store"]["text_bytes"] == 8
    none = tonne(*arguments, tmp_path / "none")
    assert none.exit_code == 2
    assert "has no column 'text'. Found: id, en, de." in none.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "'nowhere' is not there"),
        (("nowhere.toml",), "nowhere.toml does not exist"),
        (("x", "--format", "xml"), "format: Input should be 'text', 'jsonl'"),
        (("x", "--validation-fraction", "0.9"), "validation_fraction: Input should be less than or equal to 0.5"),
        (("x", "--column", "a", "--column", "b", "--column", "c"), "--column is given 3 times"),
        (("x", "--tokenizer", "t.json", "--kind", "bpe"), "names a file, and kind of one to be trained"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, arguments, message):
    done = tonne("data", "prepare", *arguments, "--output", tmp_path / "store")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_field_lists_the_known_ones(plan, tmp_path):
    plan.write_text(PLAN.replace('documents = "line"', 'document = "line"'), "utf-8")
    done = tonne("data", "prepare", plan, "--output", tmp_path / "store")
    assert done.exit_code == 2
    assert "document is not a field. Known here: tokens, sequence_length" in done.stderr


@pytest.mark.slow
def test_help_loads_no_torch():
    import subprocess

    code = "import sys; from tonne.cli.main import app; import tonne.cli.data; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
