"""What a backward pass leaves out at its far end: gradients of inputs below which nothing learns.

A linear y = W x takes one product forward, one backward for the gradient of x where something below x learns, and
one for that of W where W learns. An adapter B A x beside it takes one product each for A and B forward, one each for
their gradients, one for the gradient of A's output, and one for that of x under the same condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.adapters import attention_linears, expert_linears, feed_forward_linears, targets_of
from tonne.count.layers import router_matrices, score_width, value_width

if TYPE_CHECKING:
    from tonne.count.adapters import Block, Linears
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Multiply-adds left out of linears and of scores, and which gradients are wanted.

    ``scored``: that of the scores or of the values, so that the attention has a backward pass. ``live``: that of the
    block's output.
    """

    linears: int
    scores: int = 0
    scored: bool = True
    live: bool = True


def attention_saved(  # noqa: PLR0913 - the two inputs of an attention: how long, and whether anything below learns
    architecture: Architecture,
    lora: Lora | None,
    *,
    queries: int,
    keys: int,
    pairs: int,
    query_live: bool,
    key_live: bool,
) -> Saved:
    """What one attention leaves out.

    Args:
        architecture: Shape of the model.
        lora: Adapters beside frozen linears; None where the linears themselves learn.
        queries: Tokens that attend [token].
        keys: Tokens that are attended to [token].
        pairs: Query-key pairs of one head.
        query_live: Whether something learns below the input of the queries.
        key_live: The same for the keys and values.

    Valid for: scores of queries with keys; further products with tables of relative positions are taken as such.
    """
    a, linears = architecture, attention_linears(architecture)
    chosen = targets_of(a, lora)
    live: dict[str, bool] = {}
    saved = 0
    for name in ("query", "key", "value"):
        group = linears.get(name)
        if group is None:
            live[name] = live["key"]
            continue
        tokens, below = (queries, query_live) if name == "query" else (keys, key_live)
        less, live[name] = chain_saved(group, tokens, live=below, learns=lora is None, rank=_rank(lora, name, chosen))
        saved = saved + less
    scored = live["query"] or live["key"]
    scores = score_width(a) * ((not live["query"]) + (not live["key"]))
    scores = scores + value_width(a) * ((not scored) + (not live["value"]))
    mixed = scored or live["value"]
    less, out = chain_saved(
        linears["output"], queries, live=mixed, learns=lora is None, rank=_rank(lora, "output", chosen)
    )
    return Saved(linears=saved + less, scores=pairs * a.heads * scores, scored=mixed, live=out)


def feed_forward_saved(
    architecture: Architecture, lora: Lora | None, *, tokens: int, live: bool, sparse: bool
) -> Saved:
    """What one feed-forward block leaves out, dense or of experts."""
    a, experts = architecture, architecture.experts
    if live:
        return Saved(linears=0)
    has_adapters = lora is not None and "feed_forward" in lora.targets and (lora.experts or not sparse)
    rank = lora.rank if lora is not None and has_adapters else None
    learns = lora is None
    if not sparse or experts is None:
        less, live = _block_saved(feed_forward_linears(a), tokens, learns=learns, rank=rank)
        return Saved(linears=less, live=live)
    routed, live = _block_saved(expert_linears(a), tokens * experts.per_token, learns=learns, rank=rank)
    shared, _ = _block_saved(expert_linears(a, shared=True), tokens * experts.shared, learns=learns, rank=rank)
    return Saved(linears=tokens * router_matrices(a, experts) + routed + shared, live=live)


def _block_saved(block: Block, tokens: int, *, learns: bool, rank: int | None) -> tuple[int, bool]:
    """The matrices into the inner features stand beside each other, the one out of them comes after."""
    into, out = block
    saved, live = 0, False
    for linear in into:
        less, live = chain_saved((linear,), tokens, live=False, learns=learns, rank=rank)
        saved = saved + less
    less, live = chain_saved((out,), tokens, live=live, learns=learns, rank=rank)
    return saved + less, live


def chain_saved(linears: Linears, tokens: int, *, live: bool, learns: bool, rank: int | None) -> tuple[int, bool]:
    """Multiply-adds that linears, one after the other, leave out, and whether something up to their end learns."""
    saved = 0
    for into, out in linears:
        if not live:
            saved = saved + tokens * into * (out + (0 if rank is None else rank))
        live = live or learns or rank is not None
    return saved, live


def _rank(lora: Lora | None, name: str, chosen: frozenset[str]) -> int | None:
    return None if lora is None or name not in chosen else lora.rank
