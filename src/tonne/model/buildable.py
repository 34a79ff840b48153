"""Whether an Architecture can be built: what can only be counted is refused, lest it computes something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

XIELU_WEIGHTS = 2


def check_buildable(architecture: Architecture) -> None:
    """Refuse combinations that have no meaning, or that nothing here computes.

    Raises:
        DescriptionError: The text says which fields do not go together.
    """
    a = architecture
    both = a.kind == "encoder-decoder"
    refused = {
        "parallel_blocks with an encoder-decoder's cross-attention": a.parallel_blocks and both,
        "shared_block_norm without parallel_blocks": a.shared_block_norm and not a.parallel_blocks,
        "parallel_blocks with norm_position='post'": a.parallel_blocks and a.norm_position == "post",
        "latent_attention in an encoder-decoder": a.latent_attention is not None and both,
        "latent_attention with query_key_norm": a.latent_attention is not None and a.query_key_norm != "none",
        "latent_attention with relative positions": a.latent_attention is not None
        and bool(a.relative_rows or a.relative_projection),
        "relative_rows in an encoder-decoder": a.relative_rows > 0 and both,
        "relative_projection in an encoder-decoder": a.relative_projection and both,
        "relative_rows under a decoder's causal mask": a.relative_rows > 0 and a.kind == "decoder",
        "relative_projection without a causal mask": a.relative_projection and a.kind == "encoder",
        "relative_rows or relative_projection with fewer kv_heads than heads": bool(
            a.relative_rows or a.relative_projection
        )
        and a.kv_heads != a.heads,
        "relative_products=0 with relative_rows": a.relative_rows > 0 and not a.relative_products,
        "convolution_width in a decoder": a.convolution_width > 0 and a.kind != "encoder",
        "shared_layers with windows or unrotated_layers": a.shared_layers
        and bool(a.attention_window or a.unrotated_layers),
        "activation_weights without activation='xielu'": a.activation_weights > 0 and a.activation != "xielu",
        f"activation_weights other than {XIELU_WEIGHTS}": a.activation_weights not in (0, XIELU_WEIGHTS),
        "swiglu_limit without experts": a.swiglu_limit is not None and a.experts is None,
        "first_norm=false with norms behind the blocks": not a.first_norm and a.norm_position != "pre",
        "multi_token_layers without a decoder": a.multi_token_layers > 0 and a.kind != "decoder",
    }
    for fault, found in refused.items():
        if found:
            raise DescriptionError(
                f"{fault} can be counted, but not built as a model. Change one of these fields; `tonne count` takes "
                f"the architecture as it is."
            )
