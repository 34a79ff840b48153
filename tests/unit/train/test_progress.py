"""The live line in words, and what is said before the first step."""

from __future__ import annotations

import io
import math

import pytest

torch = pytest.importorskip("torch")

from tonne.describe.quantity import Quantity  # noqa: E402 - after the skip
from tonne.train.outlook import Outlook, outlook_lines  # noqa: E402 - as above
from tonne.train.probe import Choices  # noqa: E402 - as above
from tonne.train.progress import ProgressLine, duration, line_of  # noqa: E402 - as above


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3720, "1 h 02 min"), (90_000, "1 d 1 h")],
)
def test_duration_in_words(seconds, text):
    assert duration(seconds) == text


def test_line_has_the_known_columns_first_and_then_the_observers():
    columns = {"loss": 2.5, "tokens": 10, "tokens_per_s": 1234.5, "mfu": 0.504, "bits_per_byte": 1.25}
    line = line_of({**columns, "learning_rate": 1e-3, "eta_s": 61, "energy_kwh": 0.0125})
    assert line == "loss 2.5000  1.250 bits/byte  1,234 tokens/s  MFU 50.4 %  1 min 01 s left  energy_kwh 0.0125"


def test_where_nobody_watches_logged_steps_are_plain_lines():
    stream = io.StringIO()
    line = ProgressLine(20, stream)
    line.show(1, {"loss": 2.0}, logged=True)
    line.show(2, {"loss": 1.0}, logged=False)
    line.close()
    assert stream.getvalue() == "step 1/20  loss 2.0000\n"


OUTLOOK = Outlook(
    name="small",
    parameters=1_234_567,
    vocabulary=1000,
    steps=100,
    first_step=0,
    tokens_per_step=2048,
    flop_per_token=6e6,
    processes=2,
    device="cpu",
    tokens_per_s=20_480.0,
    unigram_loss=5.5,
    expected_loss=Quantity(value=3.0, low=2.9, high=3.1, source="three seeds"),
    sentences=False,
)
CHOICES = Choices(threads=1, precision="fp32", compile=False, micro_batch_sequences=4, peak_flop_per_s=1e11)


def test_outlook_by_hand():
    # 100 x 2,048 tokens = 204,800; x 6e6 FLOP = 1.2288e12; at 20,480 tokens/s 10 s; ln 1000 = 6.91
    assert outlook_lines(OUTLOOK, CHOICES) == [
        "small: 1,234,567 parameters; 100 steps of 2,048 tokens = 204,800 tokens; 1.23e+12 FLOP",
        "2 processes on cpu, 1 thread, fp32, micro-batches of 4; measured peak 200 GFLOP/s",
        "expected time: about 10 s (20,480 tokens/s in a trial)",
        "expected loss: starts near 6.91 (every token alike); below 5.50 once frequencies are known; 2.90 to 3.10 at "
        "the end (three seeds)",
    ]


def test_time_without_a_trial_is_a_range_of_the_peak():
    import dataclasses

    lines = outlook_lines(dataclasses.replace(OUTLOOK, tokens_per_s=None), CHOICES)
    # 1.2288e12 FLOP at 2e11 FLOP/s: 6.1 s at the peak; at three quarters of it 8.2 s, at a quarter 24.6 s
    assert lines[2] == "expected time: 8 s to 25 s"


def test_unigram_loss_of_a_fair_die(tiny_job):
    from types import SimpleNamespace

    from tonne.train.starting import unigram_loss

    tokens = torch.arange(6).repeat(10).numpy()
    store = SimpleNamespace(tokens=tokens)
    job = SimpleNamespace(batches=SimpleNamespace(data=SimpleNamespace(store=store)))
    assert unigram_loss(job) == pytest.approx(math.log(6))
