"""Counted modules against our analytic count, against published totals, and against torch's own counter."""

from __future__ import annotations

import pytest

import tonne
from tonne.count.flops import executed_flop
from tonne.count.parameters import parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

pytestmark = pytest.mark.slow  # whole networks, run to count what they execute

transformers.logging.set_verbosity_error()
BATCH, SOURCE, TARGET, VOCABULARY = 2, 11, 7, 97
IDS = torch.zeros(BATCH, SOURCE, dtype=torch.long)
CAUSAL = {"input_ids": IDS, "labels": IDS}
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
DECODER = Sequence(decoder_length=SOURCE, predicted=SOURCE)
BOTH = {"encoder_length": SOURCE, "decoder_length": TARGET}
T5 = Architecture(
    kind="encoder-decoder",
    encoder_layers=2,
    decoder_layers=3,
    width=32,
    heads=4,
    head_width=12,
    feed_forward_width=48,
    vocabulary=VOCABULARY,
    positions="relative",
    relative_buckets=32,
    norm="rms",
    norm_position="pre",
    bias=False,
)
MODELS = {  # model type: class, configuration, example, sequence
    "gpt2": (
        "GPT2LMHeadModel",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_head": 4, "n_layer": 3, "bos_token_id": 1, "eos_token_id": 2},
        CAUSAL,
        DECODER,
    ),
    "llama": ("LlamaForCausalLM", {**SMALL, "num_key_value_heads": 2}, CAUSAL, DECODER),
    "qwen2": ("Qwen2ForCausalLM", {**SMALL, "num_key_value_heads": 2}, CAUSAL, DECODER),
    "mixtral": (
        "MixtralForCausalLM",
        {**SMALL, "num_key_value_heads": 2, "num_local_experts": 4},
        CAUSAL,
        DECODER,
    ),
    "bert": ("BertForMaskedLM", SMALL, CAUSAL, Sequence(encoder_length=SOURCE, predicted=SOURCE)),
    "t5": (
        "T5ForConditionalGeneration",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "num_heads": 4,
            "d_kv": 12,
            "d_ff": 48,
            "num_layers": 2,
            "num_decoder_layers": 3,
            "decoder_start_token_id": 0,
        },
        {"input_ids": IDS, "labels": IDS[:, :TARGET]},
        Sequence(**BOTH, predicted=TARGET),
    ),
}


def built(model_type, tmp_path, device, attention):
    name, fields, _, _ = MODELS[model_type]
    config = transformers.CONFIG_MAPPING[model_type](**fields)
    config.architectures = [name]
    config.save_pretrained(tmp_path)
    config._attn_implementation = attention
    architecture = T5 if model_type == "t5" else Architecture.from_huggingface(tmp_path)
    with torch.device(device):
        return getattr(transformers, name)(config), architecture


@pytest.mark.parametrize(("device", "attention"), [("meta", "eager"), ("cpu", "sdpa")])
@pytest.mark.parametrize("model_type", MODELS)
def test_transformers_model_takes_what_we_count(model_type, device, attention, tmp_path):
    _, _, example, sequence = MODELS[model_type]
    module, architecture = built(model_type, tmp_path, device, attention)
    counts = tonne.count_module(module, example)
    assert counts.parameters == parameters(architecture)
    assert counts.training_flop == BATCH * executed_flop(architecture, sequence)
    assert counts.training_flop == 3 * counts.forward_flop
    assert counts.examples == BATCH
    assert counts.uncounted == {}


class Block(nn.Module):
    """1 x 1, 3 x 3 (with the stride, as in version 1.5), 1 x 1, and a shortcut."""

    def __init__(self, channels, inner, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, 4 * inner, 1, bias=False),
            nn.BatchNorm2d(4 * inner),
        )
        short = [nn.Conv2d(channels, 4 * inner, 1, stride, bias=False), nn.BatchNorm2d(4 * inner)]
        self.short = nn.Sequential(*short) if stride != 1 or channels != 4 * inner else nn.Identity()

    def forward(self, x):
        return (self.body(x) + self.short(x)).relu()


def resnet50():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks, channels = [], 64
    for inner, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(count):
            blocks.append(Block(channels, inner, stride if index == 0 else 1))
            channels = 4 * inner
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


STEM = 112 * 112 * 64 * 3 * 7 * 7  # multiply-adds whose input, the image, wants no gradient
RESNET_50 = 4_089_184_256  # multiply-adds of one image, worked out below


def resnet_50_multiply_adds():
    total, channels, side = STEM, 64, 56
    for inner, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(count):
            out = side // stride if index == 0 else side
            total += side * side * channels * inner + out * out * inner * (9 * inner + 4 * inner)
            total += out * out * channels * 4 * inner if index == 0 else 0
            channels, side = 4 * inner, out
    return total + 2048 * 1000


def test_resnet_50():
    # torchvision documents 25,557,032 parameters and 4.09 "GFLOPS" (multiply-adds) for its ResNet-50
    with torch.device("meta"):
        counts = tonne.count_module(resnet50(), torch.zeros(4, 3, 224, 224))
    assert counts.parameters == 25_557_032
    assert resnet_50_multiply_adds() == RESNET_50
    assert counts.forward_flop == 4 * 2 * RESNET_50
    assert counts.training_flop == 4 * 2 * (3 * RESNET_50 - STEM)
    assert counts.uncounted == {}


@pytest.mark.parametrize(
    ("network", "side", "published_parameters", "published_gmac"),
    [
        ("alexnet", 224, 61_100_840, 0.71),  # torchvision's documentation of AlexNet_Weights
        ("vgg16", 224, 138_357_544, 15.47),  # of VGG16_Weights
    ],
)
def test_published_totals_of_convolutional_networks(network, side, published_parameters, published_gmac):
    with torch.device("meta"):
        counts = tonne.count_module(NETWORKS[network](), torch.zeros(1, 3, side, side), backward=False)
    assert counts.parameters == published_parameters
    assert round(counts.forward_flop / 2e9, 2) == published_gmac


def alexnet():
    convolutions = [
        (3, 64, 11, 4, 2),
        (64, 192, 5, 1, 2),
        (192, 384, 3, 1, 1),
        (384, 256, 3, 1, 1),
        (256, 256, 3, 1, 1),
    ]
    layers = []
    for index, numbers in enumerate(convolutions):
        layers += [nn.Conv2d(*numbers), nn.ReLU(), *([nn.MaxPool2d(3, 2)] if index in (0, 1, 4) else [])]
    dense = [nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


def vgg16():
    layers, channels = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        channels = width or channels
    dense = [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


NETWORKS = {"alexnet": alexnet, "vgg16": vgg16}


def test_vision_transformer_base_16():
    # torchvision documents 86,567,656 parameters and 17.56 "GFLOPS" (multiply-adds) for ViT-B/16
    config = transformers.ViTConfig(num_labels=1000)
    with torch.device("meta"):
        counts = tonne.count_module(transformers.ViTForImageClassification(config), torch.zeros(2, 3, 224, 224))
    tokens, width = 14 * 14 + 1, 768
    layers = 12 * (tokens * (4 * width * width + 2 * width * 3072) + 2 * tokens * tokens * width)
    patches = (tokens - 1) * width * 3 * 16 * 16
    assert counts.parameters == 86_567_656
    assert counts.forward_flop == 2 * 2 * (layers + patches + width * 1000)
    assert round(counts.forward_flop / 2 / 2e9, 2) == 17.56
    assert counts.training_flop == 3 * counts.forward_flop - 2 * 2 * patches


def test_whisper_is_its_transformer_and_two_convolutions():
    fields = {"vocab_size": VOCABULARY, "d_model": 32, "num_mel_bins": 8, "max_source_positions": 20}
    heads = {
        f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in (("attention_heads", 4), ("layers", 2))
    }
    widths = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_target_positions": 20}
    tokens = {"pad_token_id": 0, "decoder_start_token_id": 1, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.WhisperConfig(**fields, **heads, **widths, **tokens, attn_implementation="sdpa")
    example = {"input_features": torch.zeros(BATCH, 8, 40), "labels": IDS}
    counts = tonne.count_module(transformers.WhisperForConditionalGeneration(config), example)
    shape = {"width": 32, "heads": 4, "feed_forward_width": 48, "vocabulary": VOCABULARY}
    architecture = Architecture(kind="encoder-decoder", encoder_layers=2, decoder_layers=2, **shape)
    transformer = executed_flop(architecture, Sequence(encoder_length=20, decoder_length=SOURCE, predicted=SOURCE))
    first, second = 2 * 40 * 32 * 8 * 3, 2 * 20 * 32 * 32 * 3
    assert counts.training_flop == BATCH * (transformer + 2 * first + 3 * second)


def test_torch_s_counter_agrees_where_it_counts_at_all():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    images = torch.zeros(2, 3, 8, 8)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    assert tonne.count_module(model, images).training_flop == counter.get_total_flops()


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        query, key, value = self.inner(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.outer(mixed.transpose(1, 2).flatten(2))
        return x + self.down(self.up(x).relu())


def test_what_torch_s_counter_misses_on_the_processor():
    # two layers of width 128, 2 x 256 tokens, 8192 words: 3 x 2 x (12 L W^2 + V W) a token, and 3 x 4 L T W
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(8192, 128)
            self.layers = nn.Sequential(Layer(128), Layer(128))

        def forward(self, tokens):
            return self.layers(self.table(tokens)) @ self.table.weight.T

    model, tokens = Model(), torch.zeros(2, 256, dtype=torch.long)
    expected = 2 * 256 * (6 * (2 * 12 * 128 * 128 + 8192 * 128) + 12 * 2 * 256 * 128)
    assert expected == 4_831_838_208
    assert tonne.count_module(model, tokens).training_flop == expected
    with FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    assert counter.get_total_flops() in {expected * 11 // 12, expected}  # 11/12 where it knows no attention on the CPU


NVIDIA_SPEEDS = [  # images/s of ResNet-50 v1.5, NVIDIA/DeepLearningExamples, README of ConvNets/resnet50v1.5 (21.03)
    ("A100-SXM4-80GB", "fp16", 16621),
    ("A100-SXM4-80GB", "tf32", 7248),
    ("V100-SXM2-16GB", "fp16", 8322),
    ("V100-SXM2-16GB", "fp32", 2855),
    ("V100-SXM2-32GB", "fp16", 8056),
    ("V100-SXM2-32GB", "fp32", 2766),
]


@pytest.mark.parametrize(("accelerator", "precision", "images_per_s"), NVIDIA_SPEEDS)
def test_published_speeds_of_resnet_50_lie_in_the_interval(accelerator, precision, images_per_s):
    flop = 2.0 * (3 * RESNET_50 - STEM)
    section = {"parameters": 25_557_032, "training_flop_per_example": flop, "examples": 90 * 1.28e6}
    cluster = {"accelerator": accelerator, "accelerators": 8}
    fields = {"workload": section, "training": {"precision": precision}, "cluster": cluster}
    speed = tonne.forecast(tonne.TrainingPlan.from_fields(fields)).account.throughput.examples_per_s
    assert speed.low <= images_per_s <= speed.high
    said = 0.7 if precision == "fp32" else 2.5  # on the page of modules
    assert speed.value / images_per_s == pytest.approx(said, rel=0.08)
    assert speed.basis == "assumed"
