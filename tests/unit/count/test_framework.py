"""What frameworks do by themselves, and what a plan says in its place."""

from __future__ import annotations

import pytest

from tonne.count.framework import eager_share, fusion_is_known, shares_sequence


@pytest.mark.parametrize(
    ("framework", "compiled", "share", "known"),
    [
        ("Megatron-LM", None, 0.0, True),
        ("megatron-bridge", False, 0.0, True),  # fused by hand all the same
        ("llm-foundry", None, 1.0, True),  # its rows are in the fit
        ("llm-foundry", True, 0.0, True),
        ("torchtitan", None, 0.0, True),
        ("torchtitan", False, 1.0, False),
        ("transformers", None, 1.0, False),
        ("unknown", None, 0.5, False),
        ("unknown", True, 0.0, True),
        ("something new", False, 1.0, False),
    ],
)
def test_fusion(framework, compiled, share, known):
    assert eager_share(framework, compiled) == share
    assert fusion_is_known(framework, compiled) == known


@pytest.mark.parametrize(
    ("framework", "sequence", "shared"),
    [
        ("megatron-lm", None, True),
        ("unknown", None, True),
        ("Megatron-DeepSpeed", None, False),
        ("megatron-lm", False, False),
        ("megatron-deepspeed", True, True),
    ],
)
def test_sequence(framework, sequence, shared):
    assert shares_sequence(framework, sequence) == shared
