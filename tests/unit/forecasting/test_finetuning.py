"""Plans that start from a model: architecture, forecast, and the share of the original's compute."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tonne
from tonne.count.workload import counts_of
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError, TonneError
from tonne.estimate import Basis
from tonne.forecasting.modification import standing
from tonne.report.document import document, from_document
from tonne.report.text import lines

GPT_2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}


def plan(start, **changes):
    fields = {
        "start": start,
        "data": {"tokens": 1e9, "sequence_length": 1024},
        "training": {"global_batch_sequences": 64},
        "cluster": {"accelerator": "H100", "accelerators": 8},
        "site": {"grid": "FR"},
    }
    for section, values in changes.items():
        fields[section] = fields.get(section, {}) | values
    return tonne.TrainingPlan.from_fields(fields)


def test_architecture_is_that_of_the_start():
    assert plan({"from": "llama-3.1-8b"}).architecture == Architecture.preset("llama-3.1-8b")


def test_work_of_a_start_that_is_trained_here(tmp_path):
    """What tonne train reads says nothing of a cluster; the original's FLOP are those of its tokens."""
    shape = 'kind = "decoder"\nlayers = 2\nwidth = 32\nheads = 2\nvocabulary = 100'
    (tmp_path / "start.toml").write_text(
        f'[architecture]\n{shape}\n[data]\nsource = "builtin"\ntokens = 1e6\nsequence_length = 64\n'
        f"[training]\nglobal_batch_sequences = 4\n"
    )
    found = tonne.forecast(plan({"from": {"train": str(tmp_path / "start.toml")}}, data={"sequence_length": 64}))
    counted = counts_of(found.plan.architecture, tokens=1e6, sequence_length=64, objective="causal-lm")
    assert found.modification.original_training_flop.value == counted.training_flop


def test_architecture_of_a_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GPT_2))
    assert plan({"from": str(tmp_path)}).architecture.layers == 12


def test_architecture_that_is_given_stays():
    small = {"kind": "decoder", "layers": 3, "width": 64, "heads": 4, "vocabulary": 100}
    assert plan({"from": "llama-3.1-8b"}, architecture=small).architecture.layers == 3


def test_architecture_of_another_shape_than_the_start_is_noted():
    def shapes(**sections):
        return [note for note in tonne.forecast(plan({"from": "llama-2-7b"}, **sections)).notes if "shape" in note]

    (note,) = shapes(architecture={"preset": "llama-2-13b"})
    assert "decoder, 40 layers of width 5120) than llama-2-7b (decoder, 32 layers of width 4096)" in note
    assert not shapes()
    assert not shapes(architecture={"preset": "llama-2-7b", "vocabulary": 32064})


def test_labels_without_a_head_are_noted():
    def heads(**head):
        architecture = {"preset": "bert-base-uncased", **head}
        found = tonne.forecast(plan({}, architecture=architecture, training={"objective": "classification"}))
        return [note for note in found.notes if "no head for the labels of classification" in note]

    assert len(heads()) == 1
    assert not heads(task_head={"labels": 2})


def test_scratch_is_no_modification():
    scratch = plan({"from": "scratch"}, architecture={"preset": "gpt2-small"})
    assert tonne.forecast(scratch).modification is None
    assert scratch == tonne.TrainingPlan.from_fields(scratch.model_dump(exclude={"start"}, exclude_unset=True))


def test_continued_pre_training_takes_its_share_by_hand():
    """Llama 3.1 8B: 15T tokens of 8192; 6 FLOP a matrix number, 12 x 32 x 32 x 128 x 4096.5 of attention."""
    found = tonne.forecast(plan({"from": "llama-3.1-8b"}, data={"tokens": 1e12, "sequence_length": 8192})).modification
    matrices = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 128256 * 4096
    per_token = 6 * matrices + 12 * 32 * 32 * 128 * 4096.5
    assert found.original_training_flop.value == pytest.approx(15e12 * per_token)
    assert found.original_training_flop.low == pytest.approx(14.5e12 * per_token)  # published with two digits
    assert found.original_training_flop.basis == Basis.MODELLED
    assert found.share.value == pytest.approx(1 / 15)
    assert found.threshold_flop.value == pytest.approx(5e12 * per_token)
    assert "ec2025gpai, paragraphs 60 and 61" in found.threshold_flop.sources
    assert standing(found) == "below"


@pytest.mark.parametrize(("tokens", "where"), [(4.8e12, "below"), (5.0e12, "straddles"), (5.2e12, "above")])
def test_standing_to_one_third(tokens, where):
    found = tonne.forecast(plan({"from": "llama-3.1-8b"}, data={"tokens": tokens, "sequence_length": 8192}))
    assert standing(found.modification) == where
    assert document(found)["modification"]["standing"] == where


def test_compute_that_is_given_is_used():
    start = {"from": "llama-3.1-8b", "training_flop": {"value": 6e23, "low": 4e23, "high": 8e23, "source": "card"}}
    found = tonne.forecast(plan(start)).modification
    assert (found.original_training_flop.low, found.original_training_flop.high) == (4e23, 8e23)
    assert found.share.high == pytest.approx(found.training_flop.value / 4e23)


def test_tokens_that_are_given_for_a_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GPT_2))
    start = {"from": str(tmp_path), "tokens": 1e10, "sequence_length": 1024}
    assert tonne.forecast(plan(start)).modification.share.value == pytest.approx(0.1)


@pytest.mark.parametrize(("systemic", "flop"), [(False, 1e23), (True, 1e25)])
def test_unknown_original_is_measured_against_the_thresholds(systemic, flop):
    found = tonne.forecast(plan({"from": "bert-base-uncased", "systemic_risk": systemic}))
    assert found.modification.share is None
    assert found.modification.threshold_flop.value == pytest.approx(flop / 3)
    assert any("the original's compute is unknown" in note for note in found.notes)
    assert any("as the original's is unknown" in line for line in lines(found, with_levers=False))


def test_original_that_another_plan_trains(tmp_path):
    path = tmp_path / "pretrain.toml"
    path.write_text(
        '[architecture]\npreset = "gpt2-small"\n[data]\ntokens = 4e9\nsequence_length = 1024\n'
        '[cluster]\naccelerator = "A100-80GB"\naccelerators = 8\n'
    )
    found = tonne.forecast(plan({"from": {"train": str(path)}}))
    assert found.counts.parameters == 124_439_808
    assert found.modification.share.value == pytest.approx(0.25)


def test_the_plan_of_an_original_need_not_name_a_machine(tmp_path):
    path = tmp_path / "before.toml"
    path.write_text('[architecture]\npreset = "gpt2-small"\n[data]\ntokens = 1e9\nsequence_length = 1024\n')
    same = tonne.Architecture.preset("gpt2-small")
    per_token = counts_of(same, tokens=1, sequence_length=1024).model_flop_per_token
    found = tonne.forecast(plan({"from": {"train": str(path)}})).modification
    assert found.original_training_flop.value == pytest.approx(1e9 * per_token)


def test_plans_that_start_from_each_other_are_refused(tmp_path):
    path = tmp_path / "circle.toml"
    path.write_text(
        f'[architecture]\npreset = "gpt2-small"\n[start]\nfrom = {{ train = "{path}" }}\n'
        '[data]\ntokens = 4e9\nsequence_length = 1024\n[cluster]\naccelerator = "A100-80GB"\naccelerators = 8\n'
    )
    with pytest.raises(DescriptionError, match="starts from what it trains itself"):
        tonne.forecast(tonne.TrainingPlan.from_toml(path))


def test_lora_takes_its_count_and_says_what_its_time_rests_on():
    found = tonne.forecast(plan({"from": "llama-3.1-8b"}, training={"lora": {"rank": 16}}))
    lora = plan({"from": "llama-3.1-8b"}, training={"lora": {"rank": 16}}).training.lora
    counts = counts_of(Architecture.preset("llama-3.1-8b"), tokens=1e9, sequence_length=1024, lora=lora)
    assert found.counts.training_flop == counts.training_flop
    assert found.counts.trainable_parameters == 32 * 16 * ((4096 + 4096) + (4096 + 1024))
    full = tonne.forecast(plan({"from": "llama-3.1-8b"}))
    ratio = found.account.energy.facility_kwh.value / full.account.energy.facility_kwh.value
    work = counts.training_flop / full.counts.training_flop
    assert work < ratio < 1.1 * work  # what only moves numbers takes as long as before
    assert any("published LoRA runs" in note for note in found.notes)


def test_memory_of_a_lora_plan_holds_the_adapters_states():
    fields = {"training": {"lora": {"rank": 8}, "global_batch_sequences": 64}, "parallelism": {"data": 8}}
    memory = tonne.forecast(plan({"from": "llama-2-7b"}, **fields)).memory
    assert memory.gradients_bytes == 2 * 4_194_304


@pytest.mark.parametrize("training", [{"lora": {"rank": 16}}, {"frozen_layers": 8}, {}])
def test_document_parses_back_whole(training):
    before = tonne.forecast(plan({"from": "llama-3.1-8b"}, training=training))
    after = from_document(json.loads(json.dumps(document(before))))
    assert after == before


def test_many_ranks_equal_one_by_one():
    ranks = [1, 8, 64]
    base = plan({"from": "llama-3.1-8b"}, training={"lora": {"rank": 4}})
    many = tonne.forecast_many(base, {"training.lora.rank": np.array(ranks)})
    for index, rank in enumerate(ranks):
        one = tonne.forecast(plan({"from": "llama-3.1-8b"}, training={"lora": {"rank": rank}}))
        assert many.counts.trainable_parameters[index] == one.counts.trainable_parameters
        assert many.counts.training_flop[index] == pytest.approx(one.counts.training_flop, rel=1e-12)
        assert many.account.duration_s.value[index] == pytest.approx(one.account.duration_s.value, rel=1e-12)
        assert many.modification.share.value[index] == pytest.approx(one.modification.share.value, rel=1e-12)


def test_many_starts_bring_their_architectures():
    names = ["llama-2-7b", "llama-2-13b"]
    many = tonne.forecast_many(plan({"from": names[0]}), {"start.from": names})
    alone = [tonne.forecast(plan({"from": name})) for name in names]
    assert list(many.counts.parameters) == [6738415616, 13015864320]
    assert list(many.account.energy.facility_kwh.value) == pytest.approx(
        [found.account.energy.facility_kwh.value for found in alone]
    )
    assert list(many.modification.share.value) == pytest.approx([found.modification.share.value for found in alone])


def test_many_tokens_of_the_original():
    many = tonne.forecast_many(plan({"from": "llama-2-7b", "tokens": 1e12}), {"start.tokens": [1e12, 2e12]})
    first, second = many.modification.share.value
    assert first == pytest.approx(2 * second)
    assert any("counted from its tokens" in note for note in many.notes)


def test_use_is_no_field_of_many_runs():
    with pytest.raises(DescriptionError, match=r"inference\.prompt_tokens changes nothing of a training run"):
        tonne.forecast_many(plan({"from": "llama-2-7b"}), {"inference.prompt_tokens": [100, 200]})


def test_many_frozen_layers_and_tokens_equal_one_by_one():
    base = plan({"from": "gpt-neo-1.3b"})
    many = tonne.forecast_many(base, {"training.frozen_layers": [0, 3, 24], "data.tokens": [1e9, 2e9, 3e9]})
    for index, (layers, tokens) in enumerate([(0, 1e9), (3, 2e9), (24, 3e9)]):
        changes = {"training": {"frozen_layers": layers}, "data": {"tokens": tokens}}
        one = tonne.forecast(plan({"from": "gpt-neo-1.3b"}, **changes))
        assert many.counts.training_flop[index] == pytest.approx(one.counts.training_flop, rel=1e-12)
        assert many.modification.share.value[index] == pytest.approx(one.modification.share.value, rel=1e-12)


@pytest.mark.parametrize(
    ("start", "training", "text"),
    [
        ({"from": "lama-3"}, {}, "'lama-3' is no preset, and no folder"),
        ({"from": "scratch", "tokens": 1e12}, {}, "'scratch' has none"),
        ({"from": "gpt2-small"}, {"lora": {"rank": 8}, "frozen_layers": 2}, "leave frozen_layers out"),
        ({"from": "gpt2-small"}, {"lora": {"rank": 8, "targets": ["query", "query"]}}, "names a linear twice"),
        ({"from": "gpt2-small"}, {"lora": {"rank": 8, "target": []}}, "Known here: rank, alpha, targets, experts"),
        ({"frm": "gpt2-small"}, {}, "Known here: from, training_flop, tokens"),
    ],
)
def test_what_is_wrong_is_said(start, training, text):
    with pytest.raises(TonneError, match=text):
        plan(start, training=training)


def test_paths_of_a_start_are_taken_from_beside_the_plan_file(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(GPT_2))
    (tmp_path / "plan.toml").write_text(
        '[start]\nfrom = "base"\n[data]\ntokens = 1e9\n[cluster]\naccelerator = "H100"\naccelerators = 8\n'
    )
    found = tonne.TrainingPlan.from_toml(tmp_path / "plan.toml")
    assert found.start.origin == str(tmp_path / "base")
    assert found.architecture.width == 768


def test_adapters_from_scratch_are_noted():
    found = tonne.forecast(plan({}, architecture={"preset": "gpt2-small"}, training={"lora": {"rank": 8}}))
    assert found.modification is None
    assert any("[start] from" in note for note in found.notes)


def test_share_of_answers_belongs_to_instruction_tuning():
    data = {"tokens": 1e9, "sequence_length": 1024, "answer_fraction": 0.5}
    with pytest.raises(DescriptionError, match=r"answer_fraction=0\.5 has no meaning for training\.objective"):
        plan({"from": "gpt2-small"}, data=data)
    assert plan({"from": "gpt2-small"}, data=data, training={"objective": "instruction"}).data.answer_fraction == 0.5
    found = tonne.forecast(plan({"from": "gpt2-small"}, training={"objective": "instruction"}))
    assert any("answer_fraction is not given" in note for note in found.notes)


def test_adapters_of_a_counted_module_are_refused():
    work = {"parameters": 1000, "training_flop_per_example": 1e6, "examples": 10}
    fields = {"workload": work, "cluster": {"accelerator": "H100", "accelerators": 8}}
    with pytest.raises(DescriptionError, match="freeze its parameters before they are counted"):
        tonne.TrainingPlan.from_fields(fields | {"training": {"frozen_layers": 1}})
