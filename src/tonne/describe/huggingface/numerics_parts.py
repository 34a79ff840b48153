"""What readers of numerics share: a norm's epsilon, the form of GELU, the scale of an embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tonne.describe.huggingface.config import Config

Fields = dict[str, Any]

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
APPROXIMATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu_new": "tanh",
        "gelu_fast": "tanh",
        "gelu_accurate": "tanh",
        "gelu_pytorch_tanh": "tanh",
        "gelu_python_tanh": "tanh",
        "quick_gelu": "sigmoid",
    }
)  # the other names of GELU are the exact one
LAYER_NORM_EPSILON = 1e-5  # torch's default, where no field of a file changes it


def epsilon(config: Config) -> Fields:
    """What the type's norms add under the root, by whichever name."""
    return {"norm_epsilon": config.real(*(name for name in EPSILONS if name in config.defaults))}


def layer_norm_default() -> Fields:
    """The same of a type that leaves it to torch."""
    return {"norm_epsilon": LAYER_NORM_EPSILON}


def gelu(word: str) -> Fields:
    """Which approximation of GELU an activation's name means."""
    return {"gelu_approximation": APPROXIMATIONS[word]} if word in APPROXIMATIONS else {}


def scaled_embedding(config: Config, fields: Fields) -> Fields:
    """Token vectors multiplied by the root of the width, where it is switched on."""
    return {"embedding_scale": math.sqrt(fields["width"])} if config.flag("scale_embedding") else {}
