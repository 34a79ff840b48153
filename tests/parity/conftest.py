"""Builds a class of transformers beside ours: without memory to count it, or with weights to compare what it does."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest


@pytest.fixture
def built_and_counted(tmp_path):
    """(parameters of the class built by transformers, of our count) for a model type, a class and changed values."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()

    def pair(model_type: str, class_name: str, **changes: object) -> tuple[int, int]:
        from tonne.count.parameters import parameters  # noqa: PLC0415
        from tonne.describe.architecture import Architecture  # noqa: PLC0415

        config = transformers.CONFIG_MAPPING[model_type](**changes)
        config.architectures = [class_name]
        config.save_pretrained(tmp_path)
        fields = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
        assert fields["architectures"] == [class_name]
        with torch.device("meta"):
            model = getattr(transformers, class_name)(config)
        counted = parameters(Architecture.from_huggingface(tmp_path))
        sparse = {"model_type": model_type, "architectures": [class_name], **changes}  # the rest are defaults
        (tmp_path / "sparse.json").write_text(json.dumps(sparse), encoding="utf-8")
        assert parameters(Architecture.from_huggingface(tmp_path / "sparse.json")) == counted
        return sum(p.numel() for p in model.parameters()), counted

    return pair


class DoubleTorch:
    """torch, but that what is called float32 is float64."""

    def __init__(self, torch):
        self._torch = torch
        self.float32 = self.float = torch.float64

    def __getattr__(self, name):
        return getattr(self._torch, name)


@pytest.fixture
def in_double(monkeypatch):
    """Lets the classes of transformers compute in fp64 throughout.

    In an fp64 model they still cast norms, rotations, the softmax and the logits under a loss to fp32, so that what is
    compared would be their rounding. Here these casts, and nothing else, go to fp64. T5's buckets keep theirs: which
    row a distance falls into is what fp32 says it is.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers import modeling_rope_utils  # noqa: PLC0415
    from transformers.loss import loss_utils  # noqa: PLC0415
    from transformers.models.llama import modeling_llama  # noqa: PLC0415
    from transformers.models.mistral import modeling_mistral  # noqa: PLC0415
    from transformers.models.qwen2 import modeling_qwen2  # noqa: PLC0415
    from transformers.models.t5 import modeling_t5  # noqa: PLC0415

    double = DoubleTorch(torch)
    for module in (modeling_llama, modeling_mistral, modeling_qwen2, modeling_rope_utils, modeling_t5, loss_utils):
        monkeypatch.setattr(module, "torch", double)
    single = torch.Tensor.float

    def cast(tensor):
        return tensor.double() if tensor.is_floating_point() or tensor.dtype == torch.int64 else single(tensor)

    def cast_in_t5(*arguments, **named):
        monkeypatch.setattr(torch.Tensor, "float", single)
        try:
            return buckets(*arguments, **named)
        finally:
            monkeypatch.setattr(torch.Tensor, "float", cast)

    buckets = modeling_t5.T5Attention._relative_position_bucket
    monkeypatch.setattr(torch.Tensor, "float", cast)
    monkeypatch.setattr(modeling_t5.T5Attention, "_relative_position_bucket", staticmethod(cast_in_t5))


@pytest.fixture
def twins(tmp_path, in_double):
    """(class of transformers, changed values) -> theirs with random weights, ours as read from what it saved.

    ``still`` names parameters that stay as they start.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    from tonne.model.huggingface import from_huggingface  # noqa: PLC0415

    def made(class_name, changes, *, still=()):
        torch.manual_seed(20260101)
        theirs = with_random_weights(torch, getattr(transformers, class_name), changes, still)
        theirs.save_pretrained(tmp_path)
        return SimpleNamespace(theirs=theirs.train(), ours=from_huggingface(tmp_path).train(), folder=tmp_path)

    return made


def with_random_weights(torch, of, changes, still):
    """A class in fp64 and without dropout, all of its weights, norms and biases too, away from where they start."""
    config = of.config_class(**changes)
    for name in vars(config):
        if "drop" in name and isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
    config._attn_implementation = "eager"
    model = of(config).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # heads of some classes drop whatever their configuration says
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in still:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def relative_error(torch, ours, theirs):
    """The largest difference, by the largest number of theirs."""
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12)).item()


@pytest.fixture
def relative_errors():
    """(pair) -> the relative error of every gradient by transformers' name, after both sides went backward."""
    torch = pytest.importorskip("torch")
    from tonne.describe.huggingface.config import read_config  # noqa: PLC0415
    from tonne.model.huggingface.layouts import layout_of  # noqa: PLC0415

    def errors(pair):
        layout = layout_of(pair.ours.architecture, read_config(pair.folder))
        ours = {name: parameter.grad for name, parameter in pair.ours.named_parameters()}
        theirs = {
            name: parameter.grad for name, parameter in pair.theirs.named_parameters() if parameter.grad is not None
        }
        largest = max(gradient.abs().max().item() for gradient in theirs.values())
        found = {}
        for place in layout.places:
            name = next((n for n in map(layout.written, place.names) if n in theirs), None)
            if name is None:
                continue  # nothing of theirs reads it
            gradient = theirs.pop(name)
            floor = gradient.new_tensor(1e-6 * largest)  # a key's bias has none at all: what is left is rounding
            difference = (place.of(ours) - gradient).abs().max()
            found[layout.written(place.names[0])] = (difference / torch.maximum(gradient.abs().max(), floor)).item()
        assert not theirs, f"not compared: {sorted(theirs)}"
        return found

    return errors
