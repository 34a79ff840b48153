"""Small architectures of each family, as its preset has it but for the sizes."""

from __future__ import annotations

import pytest


def small_fields(preset, **changes):
    """Fields of a preset with two layers, 32 wide, and at most 4 heads and experts."""
    from tonne.describe.architecture import Architecture  # noqa: PLC0415

    a = Architecture.preset(preset)
    two = {"encoder_layers": 2, "decoder_layers": 2} if a.kind == "encoder-decoder" else {"layers": 2}
    fields = {"preset": preset, "vocabulary": 97, "width": 32, "heads": 4, "feed_forward_width": 48, **two}
    fields["kv_heads"] = {True: 4, False: 1 if a.kv_heads == 1 else 2}[a.kv_heads == a.heads]
    fields["head_width"] = 8
    if a.max_positions:
        fields["max_positions"] = 64
    if a.attention_window:
        fields["attention_window"] = 4
        fields["window_every"] = 2 if a.window_every else None
    if a.embedding_width:
        fields["embedding_width"] = 16
        fields["position_width"] = 32 if a.position_width else None
    if a.relative_rows:
        fields["relative_rows"] = 12
    if a.experts:
        own = {"count": 4, "per_token": min(a.experts.per_token, 2), "width": 24, "dense_at": (), "dense_layers": 0}
        own |= {"every": 1, "shared_width": 24 if a.experts.shared_width else None}
        if a.experts.groups > 1:
            own |= {"groups": 2, "groups_per_token": 1}
        fields["experts"] = a.experts.model_dump() | own
    if a.latent_attention:
        latent = a.latent_attention.model_dump()
        sizes = {"kv_rank": 12, "rotary_width": 4, "plain_width": 6, "value_width": 10}
        fields["latent_attention"] = latent | sizes | ({"query_rank": 14} if latent["query_rank"] else {})
    return {name: value for name, value in {**fields, **changes}.items() if value is not None or name in changes}


@pytest.fixture(scope="session")
def small():
    """Small Architecture of a preset's family."""
    from tonne.describe.architecture import Architecture  # noqa: PLC0415

    return lambda preset, **changes: Architecture.model_validate(small_fields(preset, **changes))
