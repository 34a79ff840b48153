"""How fast does one step train beside its rivals, on one thread: tokens a CPU-second, and the most memory held?

Each variant runs in a process of its own, which makes a step when it is told to: one step of each in turn, so that what
else the machine does meets all alike. Medians are printed, with the machine's matrix product measured in the same
rounds; MFU is the model's FLOP over that. Gradients are clipped, AdamW (fused) applied and the loss read every step.

    python benchmarks/training.py decoder --rounds 15          # decoder-50k encoder encoder-decoder
    python benchmarks/training.py decoder --only tonne,nanogpt --no-compile
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from training_rivals import CASES, RIVALS, Batch, Case, drawn

from tonne.count.workload import counts_of
from tonne.describe.architecture import Architecture
from tonne.describe.training import Training
from tonne.model import Transformer
from tonne.train.losses import Losses
from tonne.train.optimizers import optimizers_of
from tonne.train.peak import measured_flop_per_s

COMPILED = "+compile"
OURS = "tonne"
WARM_STEPS = 3


def architecture_of(case: Case) -> Architecture:
    shape = {"width": case.width, "heads": case.heads, "vocabulary": case.vocabulary, "max_positions": case.length}
    if case.kind == "decoder":
        return Architecture(kind="decoder", layers=case.layers, positions="learned", **shape)
    if case.kind == "encoder":
        heads = {"token_types": 2, "pooler": True, "prediction_head": True, "next_sentence_head": True}
        return Architecture(
            kind="encoder", layers=case.layers, positions="learned", embedding_norm=True, **heads, **shape
        )
    both = {"encoder_layers": case.layers, "decoder_layers": case.layers}
    t5 = {"positions": "relative", "relative_buckets": 32, "norm": "rms", "norm_position": "pre", "activation": "relu"}
    return Architecture(kind="encoder-decoder", bias=False, attention_scale=1.0, **both, **t5, **shape)


def our_batch(case: Case):
    from tonne.train.batch import Batch as Ours

    held = Batch(case)
    encoder = {"token_types": held.types, "next_sentence": held.pairs} if case.kind == "encoder" else {}
    both = {"source": held.source} if case.kind == "both" else {}
    real = held.tokens.numel() * (2 if case.kind == "both" else 1)
    predicted = int((held.targets >= 0).sum())
    return Ours(tokens=held.tokens, targets=held.targets, real_tokens=real, predicted=predicted, **encoder, **both)


def our_step(case: Case, *, compiled: bool):
    torch.manual_seed(0)
    losses, batch = Losses(Transformer(architecture_of(case))), our_batch(case)
    optimizers = optimizers_of(losses.model, Training(learning_rate=3e-4))
    if compiled:
        for stack in (losses.model.encoder, losses.model.decoder):
            for layer in stack.layers if stack is not None else ():
                layer.compile()

    def step() -> float:
        loss = losses(batch).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(optimizers.parameters()), 1.0)
        optimizers.step()
        return loss.item()

    return step, losses


def rival_step(name: str, case: Case, *, compiled: bool):
    torch.manual_seed(0)
    model, batch = drawn(RIVALS[name][0](case)), Batch(case)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = torch.compile(model) if compiled else model

    def step() -> float:
        loss = run(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step, model


def work(variant: str, case: Case) -> None:
    """The process of one variant: a line in, a step made, its CPU-seconds and the peak of memory out."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    name, compiled = variant.removesuffix(COMPILED), variant.endswith(COMPILED)
    step, module = our_step(case, compiled=compiled) if name == OURS else rival_step(name, case, compiled=compiled)
    print(json.dumps({"parameters": sum(parameter.numel() for parameter in module.parameters())}), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            return
        start = time.process_time()
        loss = step()
        spent = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": spent, "loss": loss, "peak_mib": peak}), flush=True)


class Worker:
    """A variant in its process."""

    def __init__(self, variant: str, case_name: str) -> None:
        command = [sys.executable, __file__, case_name, "--work", variant]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.parameters = self._answer()["parameters"]

    def step(self) -> dict:
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        self.process.stdin.write("end\n")
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _answer(self) -> dict:
        return json.loads(self.process.stdout.readline())


def compare(case_name: str, variants: list[str], rounds: int) -> dict:
    case = CASES[case_name]
    length = {"source_length": case.length, "target_length": case.length} if case.kind == "both" else {}
    objective = {"encoder": "masked-lm+next-sentence", "both": "seq2seq"}.get(case.kind, "causal-lm")
    tokens = case.batch * case.length * (2 if case.kind == "both" else 1)
    counts = counts_of(architecture_of(case), tokens=tokens, sequence_length=case.length, objective=objective, **length)
    workers = {variant: Worker(variant, case_name) for variant in variants}
    seconds = {variant: [] for variant in variants}
    answers, peaks = {}, []
    for number in range(WARM_STEPS + rounds):
        peaks.append(measured_flop_per_s(torch.device("cpu"), torch.float32, seconds=0.05))
        order = variants if number % 2 else variants[::-1]
        for variant in order:
            answers[variant] = workers[variant].step()
            if number >= WARM_STEPS:
                seconds[variant].append(answers[variant]["seconds"])
    peak = max(peaks)
    rows = []
    for variant in variants:
        speed = tokens / statistics.median(seconds[variant])
        rows.append(
            {
                "variant": variant,
                "tokens_per_cpu_s": round(speed, 1),
                "mfu": round(speed * counts.model_flop_per_token / peak, 3),
                "peak_rss_mib": round(answers[variant]["peak_mib"]),
                "parameters": workers[variant].parameters,
                "loss": round(answers[variant]["loss"], 4),
            }
        )
        workers[variant].end()
    ours = rows[0]["tokens_per_cpu_s"]
    for row in rows:
        row["tonne_over_it"] = round(ours / row["tokens_per_cpu_s"], 3)
    machine = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread, fp32"
    day = date.today().isoformat()  # noqa: DTZ011 - the day of whoever runs it
    return {
        "case": case_name,
        "date": day,
        "machine": machine,
        "load": os.getloadavg(),
        "rounds": rounds,
        "product_gflop_per_s": round(peak / 1e9, 1),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    case = CASES[given.case]
    if given.work:
        work(given.work, case)
        return
    rivals = [name for name, (_, kinds) in RIVALS.items() if case.kind in kinds]
    compiled = [] if given.no_compile else [name + COMPILED for name in ("nanogpt", "transformers") if name in rivals]
    variants = [OURS, *rivals, *compiled]
    if given.only:
        wanted = given.only.split(",")
        variants = [OURS, *[variant for variant in variants if variant in wanted and variant != OURS]]
    text = json.dumps(compare(given.case, variants, given.rounds), indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
