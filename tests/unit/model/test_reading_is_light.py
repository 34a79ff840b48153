"""Reading weights loads no compiler: it costs memory and a second, and nothing of it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from tonne.describe.architecture import Architecture  # noqa: E402 - after the check that torch is there
from tonne.model import Transformer, from_huggingface, to_huggingface  # noqa: E402

LLAMA = Architecture(kind="decoder", layers=2, positions="rotary", max_positions=64, norm="rms", norm_epsilon=1e-6,
                     bias=False, feed_forward="gated", activation="silu", width=16, heads=2, vocabulary=30)  # fmt: skip
READ = """
import sys
from tonne.model import from_huggingface
from_huggingface(sys.argv[1])
print(sorted({"sympy", "torch._inductor", "torch._dynamo"} & set(sys.modules)))
"""


def test_what_is_read_is_what_was_written(tmp_path):
    torch.manual_seed(0)
    model = Transformer(LLAMA).eval()
    read = from_huggingface(to_huggingface(model, tmp_path / "model"))
    assert all(parameter.requires_grad for parameter in read.parameters())
    assert {name: tuple(p.shape) for name, p in read.named_parameters()} == {
        name: tuple(p.shape) for name, p in model.named_parameters()
    }
    tokens = torch.arange(12).reshape(2, 6)
    torch.testing.assert_close(read.logits(tokens), model.logits(tokens), rtol=0, atol=0)


@pytest.mark.slow
def test_no_compiler_is_loaded_by_it(tmp_path):
    folder = to_huggingface(Transformer(LLAMA), tmp_path / "model")
    said = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
