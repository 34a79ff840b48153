"""Choices rest on what was timed, and are made once."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from tonne.train import probe  # noqa: E402 - after the skip
from tonne.train.peak import Peak, measured_flop_per_s, product_flop  # noqa: E402 - as above
from tonne.train.probe import Choices, Trial, fastest, keep_choices, kept_choices, key_of, thread_counts  # noqa: E402


class Timed(Trial):
    """A trial whose times are given."""

    def __init__(self, seconds):
        object.__setattr__(self, "seconds", lambda threads, precision: seconds[threads, precision])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({(1, "fp32"): 1.0, (2, "fp32"): 0.6, (1, "bf16"): 3.0, (2, "bf16"): 2.0}, (2, "fp32", 0.6)),  # emulated
        ({(1, "fp32"): 1.0, (2, "fp32"): 0.6, (1, "bf16"): 0.3, (2, "bf16"): 0.2}, (2, "bf16", 0.2)),
        ({(1, "fp32"): 1.0, (2, "fp32"): 0.98, (1, "bf16"): 0.97, (2, "bf16"): 0.99}, (1, "fp32", 1.0)),  # noise
    ],
)
def test_fastest_is_chosen_and_the_simplest_of_equals(seconds, expected):
    assert fastest(Timed(seconds), [1, 2], ["fp32", "bf16"]) == expected


def test_probe_ends_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr(probe, "SECONDS_ALTOGETHER", -1.0)
    assert fastest(Timed({(1, "fp32"): 9.0}), [1, 2, 4], ["fp32", "bf16"]) == (1, "fp32", 9.0)


def test_threads_double_up_to_what_there_is():
    assert thread_counts(1) == [1]
    assert thread_counts(6) == [1, 2, 4, 6]
    assert thread_counts(8) == [1, 2, 4, 8]


CHOICES = Choices(threads=3, precision="fp32", compile=False, micro_batch_sequences=4, peak_flop_per_s=1e9)


def test_choice_is_kept_for_the_same_run_on_the_same_machine(tmp_path):
    device = torch.device("cpu")
    key, other = key_of({"width": 32}, device), key_of({"width": 64}, device)
    keep_choices(tmp_path / "home", key, CHOICES)
    keep_choices(tmp_path / "home", other, dataclasses.replace(CHOICES, threads=1))
    assert kept_choices(tmp_path / "home", key) == CHOICES
    assert kept_choices(tmp_path / "home", key_of({"width": 128}, device)) is None


def test_damaged_home_only_costs_a_probe(tmp_path):
    (tmp_path / "choices.json").write_text("{half", encoding="utf-8")
    assert kept_choices(tmp_path, "a") is None
    keep_choices(tmp_path, "a", CHOICES)
    assert kept_choices(tmp_path, "a") == CHOICES


def test_product_flop_by_hand():
    assert product_flop(2, 3, 4) == 48  # 8 sums of 3 products: 24 multiplications, 24 additions


def test_peak_grows_where_a_run_is_faster():
    peak = Peak(100.0)
    assert peak.share(50.0) == 0.5
    assert peak.share(200.0) == 1.0
    assert peak.share(100.0) == 0.5


def test_measured_peak_is_no_slower_than_a_product_beside_it():
    device = torch.device("cpu")
    a = torch.randn(256, 256)
    once = product_flop(256, 256, 256) / probe.fastest_s(lambda: a @ a, device, 0.01)
    assert measured_flop_per_s(device, torch.float32, seconds=0.02) > once / 20  # same machine, same minute


def test_two_runs_of_one_plan_choose_alike(tmp_path, tiny_job, monkeypatch):
    from tonne.train import choosing
    from tonne.train.distribution import Processes

    first = choosing.choose(tiny_job(), Processes(), tmp_path)
    monkeypatch.setattr(choosing, "_probed", lambda *_: pytest.fail("the second run probed"))
    assert choosing.choose(tiny_job(), Processes(), tmp_path) == first


@pytest.mark.slow
def test_given_choices_are_not_probed_for(tmp_path, tiny_job):
    from tonne.train import choosing
    from tonne.train.distribution import Processes

    job = tiny_job(training={"precision": "bf16", "micro_batch_sequences": 3}, run={"threads": 1, "compile": False})
    found = choosing.choose(job, Processes(), None)
    assert (found.threads, found.precision, found.compile, found.micro_batch_sequences) == (1, "bf16", False, 3)


def test_machine_is_left_as_it_was(tiny_job):
    from tonne.train.choosing import machine_set
    from tonne.train.distribution import Processes

    before = torch.get_num_threads()
    with machine_set(dataclasses.replace(CHOICES, threads=2), tiny_job(), Processes()):
        assert torch.get_num_threads() == 2
        assert float(torch.tensor(1e-40) * 1.0) == 0.0  # a denormal number, flushed
    assert torch.get_num_threads() == before
    assert float(torch.tensor(1e-40) * 1.0) > 0.0
