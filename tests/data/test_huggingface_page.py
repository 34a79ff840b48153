"""The page on config.json lists what is read, and each class that it lists is counted as transformers builds it.

``TONNE_UPDATE_PAGES=1`` writes its table anew from the installed transformers.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tonne.count.parameters import parameters
from tonne.describe.architecture import Architecture
from tonne.describe.huggingface import model_types
from tonne.errors import DescriptionError

PAGE = Path(__file__).parents[2] / "docs/config-json.md"
HEADING = "| model type | classes |\n|---|---|\n"
NEEDED = {  # values that transformers, too, cannot do without
    "deepseek_v2": {"num_experts_per_tok": 6},
    "hunyuan_v1_dense": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
STALE = "the page is out of date: TONNE_UPDATE_PAGES=1 rewrites it"
OWN_CODE = {"kimi_k2": "DeepseekV3ForCausalLM"}  # published with code of its own, under a class of transformers


def listed() -> dict[str, list[str]]:
    """Classes by model type, as the page has them."""
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {model_type: re.findall(r"`(.+?)`", cell) for model_type, cell in rows}


def classes_of(model_type: str) -> list[str]:
    """Classes that transformers has for a model type."""
    import transformers  # noqa: PLC0415 - seconds

    if model_type in OWN_CODE:
        return [OWN_CODE[model_type]]
    config = transformers.CONFIG_MAPPING[model_type]
    base = transformers.MODEL_MAPPING[config]
    module = sys.modules[(base[0] if isinstance(base, tuple) else base).__module__]
    found = [getattr(module, name) for name in module.__all__]
    return sorted(
        made.__name__
        for made in found
        if inspect.isclass(made)
        and issubclass(made, transformers.PreTrainedModel)
        and made.config_class is config
        and not re.search("Pre[Tt]rained", made.__name__)
    )


def counted(folder: Path, model_type: str, class_name: str) -> int | None:
    """Our count of a class at its default shape; None where it is refused."""
    fields = {"model_type": model_type, "architectures": [class_name], **NEEDED.get(model_type, {})}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    try:
        return parameters(Architecture.from_huggingface(folder))
    except DescriptionError as error:
        if "is not counted" in str(error) or "head is not known" in str(error):
            return None
        raise


def test_page_lists_every_model_type():
    assert tuple(listed()) == model_types(), STALE
    assert all(listed().values())


@pytest.mark.slow
def test_page_lists_every_class(tmp_path):
    pytest.importorskip("transformers")
    known = {t: [name for name in classes_of(t) if counted(tmp_path, t, name) is not None] for t in model_types()}
    if os.environ.get("TONNE_UPDATE_PAGES") == "1":
        rows = [f"| `{t}` | {', '.join(f'`{name}`' for name in names)} |\n" for t, names in known.items()]
        before = PAGE.read_text(encoding="utf-8").split(HEADING)[0]
        PAGE.write_text(before + HEADING + "".join(rows), encoding="utf-8")
    assert listed() == known, STALE


@pytest.mark.slow
@pytest.mark.parametrize("model_type", model_types())
def test_listed_class_is_counted_as_it_is_built(model_type, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if model_type in OWN_CODE:
        pytest.skip("transformers has no configuration of this model type")
    for class_name in listed().get(model_type, ()):
        config = transformers.CONFIG_MAPPING[model_type](**NEEDED.get(model_type, {}))  # some classes change theirs
        with torch.device("meta"):
            model = getattr(transformers, class_name)(config)
        built = sum(weight.numel() for weight in model.parameters())
        assert counted(tmp_path, model_type, class_name) == built, class_name
