"""How long until the batch at any step of 10^9 tokens is there, and how fast batches are made?

Writes a store of 10^9 tokens that takes no space (a file with a hole), opens it, and asks for far steps.

Answer (2 cores of a shared virtual machine at load 6, Python 3.11.7, 2026-11-27): opened in 0.005 s, laid out in 0.04 s
(sequential) or 0.9 s (best-fit), the batch of step 10^8 in 0.12 s with a cold file cache; 1.4 and 6 M tokens a second.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from tonne.train.batches import Batches, BatchOptions
from tonne.train.objectives.causal import CausalLm
from tonne.train.special_tokens import SpecialTokens
from tonne.train.store import FORMAT, OFFSETS, SIDECAR, TEXT_BYTES, TOKENS, VERSION, open_store

TOKENS_IN_ALL, DOCUMENTS = 10**9, 2 * 10**6
FAR_STEP = 10**8  # some epochs on
BATCH, LENGTH = 16, 1024


def write_store(folder: Path) -> None:
    """Documents of uneven length, all of token 0."""
    cuts = np.sort(np.random.default_rng(0).choice(TOKENS_IN_ALL - 1, DOCUMENTS - 1, replace=False)) + 1
    offsets = np.concatenate([[0], cuts, [TOKENS_IN_ALL]])
    np.save(folder / OFFSETS, offsets)
    np.save(folder / TEXT_BYTES, np.diff(offsets) * 4)
    with (folder / TOKENS).open("wb") as file:
        file.truncate(TOKENS_IN_ALL * 2)
    sidecar = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": "uint16",
        "tokens": TOKENS_IN_ALL,
        "documents": DOCUMENTS,
        "fields": ["text"],
        "largest_token": 0,
        "text_bytes": TOKENS_IN_ALL * 4,
        "vocabulary": 50257,
        "vocabulary_hash": "",
        "special": SpecialTokens(delimiter=0).as_dict(),
    }
    (folder / SIDECAR).write_text(json.dumps(sidecar))


def timed(what: str, call):
    start_s = time.perf_counter()
    found = call()
    print(f"{what:<58}{time.perf_counter() - start_s:8.3f} s")
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_store(folder)
        store = timed("open a store of 10^9 tokens, 2 x 10^6 documents", lambda: open_store(folder))
        view = timed("hold out 1 %", lambda: store.training(0.01))
        for packing in ("sequential", "best-fit"):
            options = BatchOptions(packing=packing, isolate=True)
            make = lambda options=options: Batches(  # noqa: E731 - timed as one
                view, CausalLm(), batch_sequences=BATCH, length=LENGTH, options=options
            )
            batches = timed(f"{packing}: lay out", make)
            timed(f"{packing}: the batch of step {FAR_STEP:.0e}", lambda b=batches: b.micro_batches(FAR_STEP))
            start_s, steps = time.perf_counter(), 100
            for step in range(steps):
                batches.micro_batches(step)
            rate = steps * BATCH * LENGTH / (time.perf_counter() - start_s)
            print(f"{packing + ': batches made':<58}{rate / 1e6:8.2f} M tokens/s")


if __name__ == "__main__":
    main()
