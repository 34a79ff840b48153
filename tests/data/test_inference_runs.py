"""The measurements that a model of inference is held against: traceable, whole, and possible."""

from __future__ import annotations

from collections import Counter

import pytest

from tonne.reference.browse import rows
from tonne.reference.inference_runs import InferenceRun, inference_runs
from tonne.reference.table import table

RUNS = inference_runs()
USED = [run for run in RUNS if run.gate == "use"]
WORDS = {
    "phase": {"decode", "prefill", "request", "mixed"},
    "weight_precision": {"bf16", "fp16", "fp8", "int8", "fp4", "int4", ""},
    "tokens_kind": {"output", "total", "prompt", ""},
    "power_boundary": {"accelerators", "server", "facility", ""},
    "gate": {"use", "shown", "out"},
    "verification": {"read", "recalled"},
    "basis": {"published", "assumed"},
}
BITS = {"bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}
GIB = 2**30


def one(**wanted: object) -> InferenceRun:
    (found,) = (run for run in RUNS if all(getattr(run, name) == value for name, value in wanted.items()))
    return found


def test_no_row_was_lost():
    assert len(RUNS) == 524
    assert Counter(run.gate for run in RUNS) == {"use": 429, "shown": 88, "out": 7}


def test_rows_are_read_once():
    assert inference_runs() is RUNS
    assert len({run.id for run in RUNS}) == len(RUNS)


@pytest.mark.parametrize(("column", "words"), WORDS.items())
def test_words_are_those_documented(column, words):
    assert {getattr(run, column) for run in RUNS} <= words


def test_every_row_says_where_it_is_from():
    sources = {row["key"] for row in table("sources")}
    for run in RUNS:
        assert run.source in sources, run.id
        assert run.url.startswith("https://"), run.id
        assert run.locator, run.id
        assert run.retrieved == "2026-11-24", run.id
        assert run.licence, run.id
        assert run.gate == "use" or run.note.startswith(f"{run.gate}: "), run.id


def test_rows_join_the_other_tables():
    assert {run.accelerator for run in RUNS} <= {row["id"] for row in table("accelerators")} | {""}
    assert {run.preset for run in RUNS} <= {row["id"] for row in table("architectures")} | {""}


def test_recalled_rows_serve_no_gate():
    assert not [run.id for run in USED if run.verification == "recalled"]
    assert not [run.id for run in RUNS if run.verification == "recalled" and run.basis != "assumed"]


def test_used_rows_can_be_computed_anew():
    for run in USED:
        assert all((run.preset, run.accelerator, run.accelerators, run.tensor, run.weight_precision)), run.id
        assert run.prompt_tokens is not None, run.id
        assert run.batch_sequences is not None or run.phase == "mixed", run.id
        assert run.tokens_per_s or run.ttft_s, run.id


def test_energy_names_its_boundary():
    for run in RUNS:
        assert bool(run.energy_j_per_output_token or run.energy_j_per_request) == bool(run.power_boundary), run.id


def test_there_is_enough_of_every_kind():
    timed = [run for run in USED if run.tokens_per_s]
    assert len(timed) >= 60
    assert len({run.source for run in timed}) >= 4
    energy = [run for run in RUNS if run.energy_j_per_output_token]
    assert len(energy) >= 10
    assert len({run.source for run in energy}) >= 2
    assert len({run.accelerator for run in USED}) >= 10
    assert min(run.batch_sequences or 1 for run in USED) == 1
    assert max(run.batch_sequences or 1 for run in USED) > 1000
    experts = {row["id"] for row in table("architectures") if row["experts.count"]}
    assert len([run for run in USED if run.preset in experts]) >= 30
    assert len([run for run in USED if run.preset not in experts]) >= 30


def test_no_batch_of_one_reads_its_weights_faster_than_memory_allows():
    """Tokens/s x bytes of weights <= bandwidth x cards, for dense models: a slip of a digit would break it."""
    bandwidth = {row["id"]: float(row["memory_bandwidth_gb_s"]) * 1e9 for row in table("accelerators")}
    published = {row["id"]: row for row in table("architectures")}
    checked = 0
    for run in USED:
        row = published[run.preset]
        if run.phase != "decode" or run.batch_sequences != 1 or row["experts.count"] or run.tokens_per_s is None:
            continue
        weights = (
            run.weights_gib * GIB
            if run.weights_gib
            else float(row["parameters_published"]) * BITS[run.weight_precision] / 8
        )
        share = run.tokens_per_s * weights / (bandwidth[run.accelerator] * (run.accelerators or 1))
        assert 0.1 < share < 1, (run.id, share)
        checked += 1
    assert checked >= 60


def test_no_prompt_is_read_faster_than_the_chip_computes():
    """2 x parameters x tokens/s <= the chip's greatest dense rate that the table has."""
    peaks = {
        row["id"]: [float(cell) for column, cell in row.items() if column.endswith("tflop_per_s") and cell]
        for row in table("accelerators")
    }
    published = {row["id"]: row for row in table("architectures")}
    for run in USED:
        rate = run.tokens_per_s or (run.prompt_tokens or 0) / (run.ttft_s or 1)
        if run.phase == "prefill":
            row = published[run.preset]
            work = 2 * float(row["parameters_active_published"] or row["parameters_published"]) * rate
            assert work < max(peaks[run.accelerator]) * 1e12 * (run.accelerators or 1), run.id


def test_energy_and_throughput_give_a_power_that_the_cards_can_draw():
    """J per token x tokens/s is watts: between idle and the limit of the cards."""
    limits = {row["id"]: float(row["board_power_limit_w"] or 0) for row in table("accelerators")}
    for run in RUNS:
        inside = run.power_boundary == "accelerators"
        if inside and run.energy_j_per_output_token and run.tokens_per_s and run.accelerator:
            watts = run.energy_j_per_output_token * run.tokens_per_s / (run.accelerators or 1)
            assert 0.2 * limits[run.accelerator] < watts < 1.06 * limits[run.accelerator], (run.id, watts)


def test_energy_of_a_request_is_that_of_its_tokens():
    for run in RUNS:
        if run.energy_j_per_output_token and run.energy_j_per_request and run.output_tokens:
            product = run.energy_j_per_output_token * run.output_tokens
            assert product == pytest.approx(run.energy_j_per_request, rel=0.02), run.id


def test_a_server_makes_a_token_of_each_sequence_in_the_time_of_a_token():
    """Tokens/s x s per token is the batch, less what waits for prompts."""
    for run in RUNS:
        if run.time_per_output_token_s and run.tokens_per_s and run.batch_sequences:
            at_work = run.tokens_per_s * run.time_per_output_token_s / run.batch_sequences
            assert 0.4 < at_work < 1.05, (run.id, at_work)


def test_numbers_as_their_sources_print_them():
    fast = one(source="gptfast2023", model="Llama-2-7B", accelerators=1, weight_precision="int4")
    assert (fast.tokens_per_s, fast.batch_sequences, fast.accelerator) == (196.8, 1, "nvidia-a100-sxm4-80gb")
    dense = one(source="tensorrtllm2025perf", preset="llama-3.1-405b", accelerator="nvidia-h100-sxm5-80gb",
                prompt_tokens=2048, output_tokens=2048)  # fmt: skip
    assert (dense.tokens_per_s, dense.accelerators, dense.tokens_kind) == (2296, 8, "output")
    per_card = one(source="tensorrtllm2023perf", preset="llama-2-70b", batch_sequences=480)
    assert per_card.tokens_per_s == 4 * 1486
    served = one(source="lmdeploy2023benchmark", locator="llama2-70b, batch 64, 128/2048")
    assert (served.tokens_per_s, served.ttft_s) == (1391.8, 1.173)
    spark = one(source="llamacpp2025spark", preset="gpt-oss-120b", batch_sequences=32, prompt_tokens=4096)
    assert (spark.tokens_per_s, spark.weights_gib) == (230.99, 59.02)
    energy = one(source="mlenergy2026leaderboard", locator="Llama-3.1-70B-Instruct, 4 x H100, max_num_seqs 64")
    assert energy.energy_j_per_output_token == pytest.approx(0.797248592193898, rel=1e-5)
    assert energy.time_per_output_token_s == pytest.approx(0.022432271391153336, rel=1e-5)
    gemini = one(source="elsworth2025gemini")
    assert gemini.energy_j_per_request == pytest.approx(0.24 * 3600)
    assert gemini.gate == "out"


def test_people_can_read_the_table():
    shown = rows("inference-runs", "gpt-oss-120b")
    assert len(shown) >= 8
    assert all("gpt-oss-120b" in row["model"] for row in shown)
