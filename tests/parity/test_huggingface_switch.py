"""Switch Transformer: the classes that transformers builds against our count of their config.json."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import executed_flop
from tonne.count.parameters import active_parameters, parameter_parts
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

pytestmark = pytest.mark.slow  # transformers takes seconds to import

SMALL = {
    "vocab_size": 97,
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 30,
    "num_heads": 3,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "num_sparse_encoder_layers": 3,
    "num_sparse_decoder_layers": 3,
    "num_experts": 4,
    "relative_attention_num_buckets": 7,
}
SHAPES = (
    SMALL,
    SMALL | {"router_bias": True, "d_ff": 7},
    SMALL | {"num_decoder_layers": None},
    SMALL | {"num_layers": 4, "num_sparse_encoder_layers": 2, "num_decoder_layers": 8, "num_sparse_decoder_layers": 4},
    SMALL | {"num_sparse_encoder_layers": 6},  # all of the encoder, half of the decoder
    SMALL | {"num_sparse_decoder_layers": 2, "num_decoder_layers": 8},  # layers 1 and 5
    SMALL | {"num_sparse_encoder_layers": 0, "num_sparse_decoder_layers": 1},  # 0 still makes one, layer 1
    SMALL | {"num_sparse_encoder_layers": 9},  # a step of 0: none
    SMALL | {"num_layers": 1, "num_sparse_encoder_layers": 0, "num_experts": 1},
    SMALL | {"relative_attention_num_buckets": 12, "d_kv": 5, "num_heads": 4},
    SMALL | {"tie_word_embeddings": False},
)
SOURCE, TARGET = 13, 9
SEQUENCE = Sequence(encoder_length=SOURCE, decoder_length=TARGET, predicted=TARGET)


@pytest.mark.parametrize("ending", ["ForConditionalGeneration", "Model", "EncoderModel"])
@pytest.mark.parametrize("shape", SHAPES)
def test_classes(built_and_counted, ending, shape):
    built, counted = built_and_counted("switch_transformers", f"SwitchTransformers{ending}", **shape)
    assert counted == built


def test_defaults(built_and_counted):
    built, counted = built_and_counted("switch_transformers", "SwitchTransformersForConditionalGeneration")
    assert counted == built


def model_and_architecture(folder, shape):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.SwitchTransformersConfig(**shape, attn_implementation="eager")
    config.architectures = ["SwitchTransformersForConditionalGeneration"]
    config.save_pretrained(folder)
    return transformers.SwitchTransformersForConditionalGeneration(config), Architecture.from_huggingface(folder)


@pytest.mark.parametrize("shape", SHAPES[:6])
def test_step_and_active_parameters(tmp_path, shape):
    """Each token visits one expert, for no expert is full."""
    import torch  # noqa: PLC0415 - seconds
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    model, a = model_and_architecture(tmp_path, shape)
    source, target = torch.arange(SOURCE)[None], torch.arange(TARGET)[None]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=source, decoder_input_ids=target, use_cache=False).logits.sum().backward()
    assert counter.get_total_flops() == executed_flop(a, SEQUENCE)
    others = (weight.numel() for name, weight in model.named_parameters() if ".experts.expert_" in name)
    assert active_parameters(a) == sum(w.numel() for w in model.parameters()) - sum(others) * 3 // 4


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("switch-base-128", {"d_ff": 3072, "num_sparse_encoder_layers": 6, "num_sparse_decoder_layers": 6}),
        (
            "switch-large-128",
            {
                "d_model": 1024,
                "d_ff": 4096,
                "num_heads": 16,
                "num_layers": 24,
                "num_decoder_layers": 24,
                "num_sparse_encoder_layers": 12,
                "num_sparse_decoder_layers": 12,
            },
        ),
    ],
)
def test_file_counts_what_the_preset_counts(tmp_path, preset, fields):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "switch_transformers", "num_experts": 128, **fields}), encoding="utf-8"
    )
    a = Architecture.from_huggingface(tmp_path)
    for active in (False, True):
        assert parameter_parts(a, active=active) == parameter_parts(Architecture.preset(preset), active=active)
    assert executed_flop(a, SEQUENCE) == executed_flop(Architecture.preset(preset), SEQUENCE)
