"""Steps are found in what common trainers print. The lines are theirs, shortened."""

from __future__ import annotations

import pytest

from tonne.cli.step_lines import Steps
from tonne.errors import DescriptionError

BLOCK = "█"


def found(text: str, total: int | None = None, pattern: str | None = None) -> list[tuple[int, int | None]]:
    """What is found in a program's output, told line by line."""
    steps, told = Steps(pattern, total), []
    read = steps.reader(lambda step, of: told.append((step, of)))
    for line in text.encode().splitlines(keepends=True):
        read(line)
    read(b"\n")
    return told


ONE_LINE = {
    "nanogpt": ("iter 100: loss 2.3456, time 12.34ms, mfu 1.23%", 100),
    "nanogpt evaluates": ("step 250: train loss 2.1234, val loss 2.2345", 250),
    "litgpt": ("Epoch 1 | iter 800 step 100 | loss train: 2.345, val: n/a | iter time: 12.34 ms (step)", 100),
    "litgpt pretrains": (
        "Epoch 1 | iter 800 step 100 | loss train: 2.345, val: n/a | iter time: 12.3 ms remaining",
        100,
    ),
    "json lines": ('{"step": 100, "loss": 2.3, "lr": 0.0003}', 100),
    "json lines, last": ('{"loss": 2.3, "epoch": 3, "global_step": 100}', 100),
    "a dictionary": ("{'loss': 2.3, 'grad_norm': 1.2, 'step': 100}", 100),
    "torchtitan": ("[titan] \x1b[31mstep: \x1b[39m 100  \x1b[32mloss:  8.1437  \x1b[33mmemory: 1.2GiB", 100),
    "megatron": (
        " iteration      100/    2000 | consumed samples:  25600 | elapsed time per iteration (ms): 1234.5",
        100,
    ),
    "fairseq": ("epoch 001: INFO: loss=9.1, ppl=554, num_updates=100, lr=1e-05", 100),
    "thousands": ("Step 1,000 of 2,000: loss 2.1", 1000),
    "keys of a logger": ("train/global_step=100 train/loss=2.3", 100),
    "tqdm": (f"  5%|{BLOCK}▌         | 100/2000 [00:12<03:48,  8.33it/s]", 100),
    "tqdm with a word": (f"Training:   5%|{BLOCK}▌    | 100/2000 [00:12<03:48,  8.33it/s, loss=2.3]", 100),
    "tqdm of a slow loop": ("  5%|5         | 100/2000 [03:20<1:03:20,  2.00s/it]", 100),
}


@pytest.mark.parametrize(("line", "step"), ONE_LINE.values(), ids=ONE_LINE)
def test_a_line_of_a_common_trainer_says_the_step(line, step):
    assert found(line, total=2000) == [(step, 2000)]


NO_STEP = [
    "***** Running training *****",
    "  Total optimization steps = 2,000",
    "  Gradient Accumulation steps = 4",
    "max_steps=100, warmup_steps: 10, eval_step=50",
    "{'loss': 2.3456, 'learning_rate': 4.75e-05, 'epoch': 0.05}",
    "one step 0.5 s, iter time: 12.3 ms, 12ms/step",
    "step 12ms, step 5 s, step 50%",
    "step 5000: beyond the total",
    f"Map:  50%|{BLOCK}     | 500/2000 [00:01<00:01, 480.1 examples/s]",
    f"Validation DataLoader 0:  50%|{BLOCK}     | 5/10 [00:01<00:01, 4.1it/s]",
    f" 50%|{BLOCK}     | 5/10 [00:01<00:01, 4.1it/s]",
    "2026-11-27 12:30:00 1/2 files read",
    "Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.3",
]


@pytest.mark.parametrize("line", NO_STEP)
def test_what_is_no_step_of_the_run_is_passed_over(line):
    assert found(line, total=2000) == []


def test_bars_that_write_over_themselves_are_read():
    bar = "".join(f"\r{n // 20}%|{BLOCK}  | {n}/2000 [00:12<03:48,  8.33it/s]" for n in (1, 20, 40))
    assert found(bar) == [(1, 2000), (20, 2000), (40, 2000)]


def test_the_total_is_the_bars_and_another_bar_is_not_the_runs():
    text = (
        f"Map: 100%|{BLOCK}| 9000/9000 [00:01<00:00, 480.1 examples/s]\n"
        f"  5%|{BLOCK}  | 100/2000 [00:12<03:48,  8.33it/s]\n"
        f" 50%|{BLOCK}  | 5/10 [00:01<00:01, 4.1it/s]\n"
        f" 90%|{BLOCK}  | 9/10 [00:01<00:01, 4.1it/s]\n"
        f"  6%|{BLOCK}  | 120/2000 [00:15<03:48,  8.33it/s]\n"
    )
    assert found(text) == [(100, 2000), (120, 2000)]


def test_a_bar_of_each_epoch_is_added_up():
    lightning = "".join(
        f"Epoch {epoch}:  {n}%|{BLOCK}  | {n}/100 [00:01<00:12,  7.50it/s, v_num=0]\n"
        for epoch, n in ((0, 50), (0, 100), (1, 50))
    )
    assert found(lightning, total=300) == [(50, 300), (100, 300), (150, 300)]
    assert found(lightning) == []  # it does not say how many epochs there will be
    loop = "".join(f"Epoch {e}/3:  50%|{BLOCK} | {n}/100 [00:01<00:12,  7.50it/s]\n" for e, n in ((1, 50), (3, 100)))
    assert found(loop) == [(50, 300), (300, 300)]


def test_steps_of_an_epoch_are_added_up():
    assert found("Epoch [2/5], Step [100/600], Loss: 0.3\n") == [(700, 3000)]
    keras = "Epoch 1/10\n 45/100 ━━━━━━━━ 1s 12ms/step - loss: 2.3\b\b\b\n 99/100 [=====>.] - ETA: 0s\n"
    keras += "Epoch 2/10\n1/100 ━ 9s"
    assert found(keras) == [(45, 1000), (99, 1000), (101, 1000)]


def test_steps_do_not_go_back_nor_on_for_a_word_that_is_none():
    assert found("iter 100: loss 2\nbest step: 30\niter 110: loss 2\n", 2000) == [(100, 2000), (110, 2000)]


def test_a_pattern_of_the_users_own_may_have_the_total():
    assert found("batch 7 of 90\n", pattern=r"batch (\d+) of (\d+)") == [(7, 90)]
    assert found("batch 7 of 90\nbatch 1,000", total=2000, pattern=r"batch ([\d,]+)") == [(7, 2000), (1000, 2000)]


def test_two_streams_do_not_run_into_each_other():
    told = []
    steps = Steps(None, 2000)
    out, err = (steps.reader(lambda step, of: told.append(step)) for _ in range(2))
    out(b"iter 1")
    err(f"  5%|{BLOCK}  | 7/2000 [00:12<03:48]\r".encode())
    out(b"00: loss 2.3\n")
    assert told == [7, 100]


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(DescriptionError, match="is no regular expression"):
        Steps("(", None)
    with pytest.raises(DescriptionError, match="has no group for the step"):
        Steps("step", None)
