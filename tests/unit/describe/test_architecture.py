from __future__ import annotations

import pytest
from pydantic import ValidationError

from tonne.describe.architecture import Architecture
from tonne.errors import UnknownReferenceError

DECODER = {"kind": "decoder", "layers": 2, "width": 64, "heads": 4}


def test_what_is_left_out_is_filled_in():
    found = Architecture.model_validate(DECODER)
    assert (found.kv_heads, found.head_width, found.feed_forward_width) == (4, 16, 256)
    assert (found.norm_position, found.final_norm, found.norm_bias, found.vocabulary) == ("pre", True, True, 0)


def test_what_is_filled_in_follows_a_field_that_changes():
    described = Architecture.model_validate(DECODER).model_dump(exclude_unset=True)
    assert described == DECODER
    assert Architecture.model_validate(described | {"width": 128}).head_width == 32


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="heads"):
        Architecture.model_validate(DECODER | {"heads": "four"})


def test_an_encoder_is_post_norm_like_the_first():
    found = Architecture(kind="encoder", layers=2, width=64, heads=4)
    assert (found.norm_position, found.final_norm) == ("post", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 65}, r"width=65 cannot be split over heads=4: 65 % 4 = 1.*64 or 68"),
        ({"kv_heads": 3}, r"kv_heads=3 does not divide heads=4.*1, 2, 4"),
        ({"experts": {"count": 4, "per_token": 5}}, r"per_token=5 is more than experts.count=4"),
        ({"layers": 0}, r"layers=0 is not a size"),
        ({"width": float("inf")}, r"width=inf is not a size"),
        ({"width": 64.5}, r"width=64.5 is not a size"),
        ({"experts": 5}, "experts"),
        ({"width": -64}, r"width=-64 is not a size"),
        ({"width": float("nan")}, "width"),
        ({"vocabulary": -1}, "vocabulary"),
        ({"layers": None}, r"layers is missing"),
        ({"encoder_layers": 2}, r"encoder_layers has no meaning"),
        ({"positions": "learned"}, r"needs max_positions"),
        ({"window_every": 2}, r"attention_window is left out"),
        ({"widht": 64}, "widht"),
        ({"preset": "gpt-3-175"}, r"no preset 'gpt-3-175'.*gpt-3-175b"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Architecture.model_validate(DECODER | change)


def test_width_need_not_divide_where_the_head_width_is_given():
    assert Architecture.preset("gpt-3-13b").width == 5140


def test_an_unknown_preset_names_close_ones():
    with pytest.raises(UnknownReferenceError, match=r"no preset 'gpt2'.*gpt2-small"):
        Architecture.preset("gpt2")


def test_a_preset_may_be_changed_in_a_plan():
    found = Architecture.model_validate({"preset": "gpt2-small", "layers": 6})
    assert (found.layers, found.width) == (6, 768)


@pytest.mark.slow
@pytest.mark.parametrize("preset", Architecture.preset_ids())
def test_every_preset_survives_json(preset):
    found = Architecture.preset(preset)
    assert Architecture.model_validate_json(found.model_dump_json()) == found
