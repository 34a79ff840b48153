"""Builds the class that a config.json names, without memory, beside our count of it."""

from __future__ import annotations

import json

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
