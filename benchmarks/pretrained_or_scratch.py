"""What do the examples of fine-tuning score on their tests, pre-trained and from scratch, at equal fine-tuning energy?

Each plan is trained as it stands, then once more with the same architecture, tokenizer, batches and steps, but weights
drawn anew: the same FLOP, and as CPU-seconds show the same time on one thread.

    python benchmarks/pretrained_or_scratch.py [PLAN ...] [--seeds 1] [--home DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tonne.describe.finetuning import FinetuningRecipe
from tonne.describe.plan import plan_fields
from tonne.train import Session, evaluated, finetuning_job, fit, read_labelled, read_trained
from tonne.train.origin import origin_folder

ROOT = Path(__file__).resolve().parents[1]
PLANS = ("translate", "summarise", "classify", "answer")


def fields_of(plan: Path, seed: int) -> dict:
    fields = plan_fields(plan)
    size = fields["training"]["global_batch_sequences"]
    fields["training"] |= {"precision": "fp32", "micro_batch_sequences": size, "seed": seed}
    fields["run"] = {**fields.get("run", {}), "threads": 1, "compile": False, "log_every": 100}
    return fields


def from_scratch(fields: dict, folder: Path) -> dict:
    """The same model, drawn anew; its tokenizer stays, for one trained on the examples would make other sequences."""
    architecture = read_trained(folder).model.architecture.model_dump(mode="json", exclude_defaults=True)
    return {
        **fields,
        "start": {"from": "scratch"},
        "architecture": architecture,
        "tokenizer": {"file": str(folder)},
    }


def trained_and_tested(fields: dict, home: Path) -> dict:
    recipe = FinetuningRecipe.model_validate(fields)
    job = finetuning_job(recipe, home, Session(home=home, device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        found = fit(job, Path(folder) / "run", session=Session(device="cpu", stream=None))
        spent = time.process_time() - start
        model = read_trained(found.model).model
    (source,) = recipe.data.sources
    tested = read_labelled(f"{source}-test", None, recipe.task)
    scores = evaluated(model, job.tuning.form.reading, tested).scores
    return {
        "steps": found.steps,
        "tokens": found.tokens,
        "training_flop": f"{found.tokens * job.flop_per_token:.3g}",
        "cpu_seconds": round(spent, 1),
        "parameters": sum(parameter.numel() for parameter in job.model.parameters()),
        **{name: [round(value, 1) for value in (one.value, one.low, one.high)] for name, one in scores.items()},
        "best": None if found.best is None else asdict(found.best),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", nargs="*", default=PLANS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "tonne-benchmark")
    given = parser.parse_args()
    print(json.dumps({"date": date.today().isoformat()}))  # noqa: DTZ011 - the day of whoever runs it
    for name in given.plans:
        plan = ROOT / "examples" / f"finetune-{name}.toml"
        for seed in range(given.seeds):
            fields = fields_of(plan, seed)
            recipe = FinetuningRecipe.model_validate(fields)
            folder = origin_folder(recipe, given.home, Session(home=given.home, device="cpu", stream=None))
            variants = {"as it stands": fields}
            if folder is not None:
                variants["from scratch"] = from_scratch(fields, folder)
            for variant, own in variants.items():
                line = {"plan": name, "seed": seed, "variant": variant, **trained_and_tested(own, given.home)}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
