"""A config.json of transformers wherever a model can be named: `tonne count`, `tonne forecast` and plan files."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.describe.architecture import Architecture
from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 30,
}
# two tables of 30 x 8; in 2 layers 8 x 8 twice, 8 x 4 twice, three of 8 x 20, two norms of 8; the last norm
PARAMETERS = 2 * 30 * 8 + 2 * (2 * 64 + 2 * 32 + 3 * 160 + 2 * 8) + 8
PLAN = """
[architecture]
huggingface = "{path}"
{more}
[data]
tokens = 1e9
sequence_length = 128
[cluster]
accelerator = "H100"
accelerators = 8
"""
A_RUN = ("--accelerators", "8xH100", "--tokens", "1B", "--sequence-length", "128")


def called(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "runs" / "tiny-llama"
    made.mkdir(parents=True)
    (made / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return made


def plan_in(folder, path, more=""):
    file = folder / "plan.toml"
    file.write_text(PLAN.format(path=path, more=more), encoding="utf-8")
    return file


def test_count_takes_the_file_its_folder_and_a_plan(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in (folder, folder / "config.json", ".", "config.json", plan_in(folder, "config.json")):
        result = called("count", str(name), "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["counts"]["parameters"] == PARAMETERS


def test_forecast_takes_the_file_its_folder_and_a_plan(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in (folder, folder / "config.json", ".", "config.json"):
        result = called("forecast", str(name), *A_RUN, "--json")
        assert result.exit_code == 0, result.stderr
        made = json.loads(result.stdout)
        assert made["counts"]["parameters"] == PARAMETERS
        assert made["plan"]["name"] == "tiny-llama"
    assert "1.86k parameters" in called("forecast", str(plan_in(folder, "."))).stdout


def test_a_path_in_a_plan_starts_at_the_plan(folder, monkeypatch):
    monkeypatch.chdir("/")
    for path in ("tiny-llama", "tiny-llama/config.json", "../runs/tiny-llama", str(folder)):
        plan = TrainingPlan.from_toml(plan_in(folder.parent, path))
        assert plan.architecture == Architecture.from_huggingface(folder)


def test_fields_beside_it_replace_its_own(folder):
    plan = TrainingPlan.from_toml(plan_in(folder, ".", more="layers = 5\nvocabulary = 31"))
    assert (plan.architecture.layers, plan.architecture.vocabulary, plan.architecture.width) == (5, 31, 8)
    with pytest.raises(DescriptionError, match="kv_heads=3 does not divide heads=4"):
        TrainingPlan.from_toml(plan_in(folder, ".", more="kv_heads = 3"))
    with pytest.raises(DescriptionError, match="each name an architecture"):
        TrainingPlan.from_toml(plan_in(folder, ".", more='preset = "gpt2-small"'))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "llamma"}, ("'llamma' cannot be read", "Close: llama", "qwen2", "Write the fields instead")),
        ({"num_key_value_heads": 3}, ("num_key_value_heads = 3 does not divide 4",)),
        ({"hidden_size": None}, ("hidden_size = null is not a whole number",)),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_exit_code_2(folder, changes, words):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    plan = plan_in(folder, ".")
    for arguments in (("count", str(folder)), ("count", str(plan)), ("forecast", str(folder), *A_RUN)):
        result = called(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        for word in (*words, "config.json"):
            assert word in result.stderr


def test_a_folder_without_one_is_told_apart_from_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "gpt2-small").mkdir()
    for arguments in (("count", "empty"), ("forecast", "empty", *A_RUN)):
        result = called(*arguments)
        assert result.exit_code == 2
        assert "empty/config.json does not exist" in result.stderr
    assert called("count", "gpt2-small").exit_code == 0


def test_a_folder_of_a_plan_that_is_not_there(folder):
    result = called("forecast", str(plan_in(folder, "nowhere")))
    assert result.exit_code == 2
    assert "nowhere does not exist. Give a config.json of transformers, or the folder of one." in result.stderr


def test_a_mark_of_the_byte_order_is_no_part_of_the_file(folder):
    file = folder / "config.json"
    file.write_text(json.dumps(CONFIG), encoding="utf-8-sig")
    assert f"{PARAMETERS:,}" in called("count", str(file)).stdout


def test_fields_that_the_model_type_does_not_look_at_are_refused(folder):
    nested = {"model_type": "llama", "text_config": CONFIG}
    (folder / "config.json").write_text(json.dumps(nested), encoding="utf-8")
    result = called("count", str(folder))
    assert result.exit_code == 2
    assert "'llama' reads no text_config" in result.stderr


@pytest.mark.parametrize(("model_type", "own"), [("bart", "encoder_layers"), ("t5", "num_layers"), ("gpt2", "n_layer")])
def test_layers_by_the_name_of_all_types(folder, model_type, own):
    def read(**fields):
        (folder / "config.json").write_text(json.dumps({"model_type": model_type, **fields}), encoding="utf-8")
        return Architecture.from_huggingface(folder)

    assert read(num_hidden_layers=7) == read(**{own: 7}) == read(**{own: 7, "num_hidden_layers": 7})
    assert read(num_hidden_layers=7) != read()
    with pytest.raises(DescriptionError, match=rf"{own} = 3 and num_hidden_layers = 7 name one thing\. Keep one"):
        read(**{own: 3, "num_hidden_layers": 7})


def test_a_gate_that_the_activation_does_not_name_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "is_gated_act": True}), encoding="utf-8")
    assert "is not gated, but is_gated_act is true" in called("count", str(folder)).stderr
