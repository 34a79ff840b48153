"""The loss of predicted tokens: product with the output table and cross-entropy in one, a chunk of rows at a time.

The logits of a whole batch are the largest tensor of a training step (1,024 rows of 50,257 in fp32: 206 MB, and as much
again for their gradient). Here a chunk of rows is multiplied, its loss taken and its gradients made at once, while the
chunk is at hand: logits never leave it, and the backward pass only scales what is there. Rows without a target are
dropped before the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from tonne.errors import DescriptionError
from tonne.model.ahead import gradients_ahead

Reduction = Literal["mean", "sum"]
Gradients = tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]
CPU_CHUNK_ROWS = (
    256  # below it products of one thread slow down, above it memory grows: benchmarks/linear_cross_entropy.py
)
CHUNK_LOGITS = 2**27  # of an accelerator, whose products want many rows: 512 MiB of fp32 logits
EXACT_TYPES = (torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What is added to the plain loss, and how the rows are gone through."""

    label_smoothing: float
    z_loss: float
    softcap: float | None
    chunk_rows: int | None
    reduction: Reduction

    def __post_init__(self) -> None:
        """Refuse what no loss can be made of."""
        if not 0 <= self.label_smoothing <= 1:
            raise DescriptionError(f"label_smoothing={self.label_smoothing}. Give a share from 0 to 1, e.g. 0.1.")
        if self.z_loss < 0:
            raise DescriptionError(f"z_loss={self.z_loss}. Give a coefficient of 0 or more, e.g. 1e-4.")
        if self.softcap is not None and self.softcap <= 0:
            raise DescriptionError(f"softcap={self.softcap}. Give a bound above 0, e.g. 30.0, or None for none.")
        if self.chunk_rows is not None and self.chunk_rows < 1:
            raise DescriptionError(f"chunk_rows={self.chunk_rows}. Give 1 or more rows, or None to let tonne choose.")
        if self.reduction not in ("mean", "sum"):
            raise DescriptionError(f"reduction={self.reduction!r}. Give 'mean' or 'sum'.")


def linear_cross_entropy(  # noqa: PLR0913 - a term of the loss each, all but the first three with a default
    states: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    chunk_rows: int | None = None,
    reduction: Reduction = "mean",
) -> torch.Tensor:
    """Cross-entropy of the targets under softmax(states weight^T + bias), without ever holding all logits.

    Equation: loss = mean over rows of (1 - s) (Z - l_y) + s (Z - mean_j l_j) + z Z^2, with l = logits, Z = log sum_j
    exp(l_j), y = target, s = label_smoothing, z = z_loss; where there is a softcap c, l = c tanh(l / c) before.

    Gradients are made in the forward pass and are exact; they can be taken once, not twice. Losses are summed, and
    softmax is taken, in fp32 or better. Under autocast the products take its type, all else the types given.

    Args:
        states: Final states, as the output product takes them (rows, width) or (batch, length, width).
        weight: The output table (vocabulary, width).
        targets: The token to predict in each row (rows,) or (batch, length).
        bias: One number per token of the vocabulary (vocabulary,).
        ignore_index: A row of this target has none: it costs nothing and adds nothing. None: every row has one.
        label_smoothing: Share of the target's probability spread evenly over the vocabulary.
        z_loss: Coefficient of the square of log Z, which keeps logits from drifting.
        softcap: Bound of the logits.
        chunk_rows: Rows whose logits are held at a time [row]; left out, what the device works fast on.
        reduction: "mean" over the rows that have a target, or "sum".

    Returns:
        The loss, a scalar; 0, with gradients of 0, where no row has a target.

    Raises:
        DescriptionError: Shapes or types do not fit one another, or a target is not in the vocabulary.

    Source: szegedy2016rethinking, section 7; chowdhery2022palm, section 5; gemma2024two, section 2.
    """
    terms = _Terms(
        label_smoothing=label_smoothing, z_loss=z_loss, softcap=softcap, chunk_rows=chunk_rows, reduction=reduction
    )
    _check_shapes(states, weight, targets, bias)
    rows, wanted = states.reshape(-1, states.shape[-1]), targets.reshape(-1)
    if ignore_index is not None:
        index = wanted.ne(ignore_index).nonzero().squeeze(1)
        if index.numel() < wanted.numel():
            rows, wanted = rows.index_select(0, index), wanted.index_select(0, index)
    _check_targets(wanted, weight.shape[0])
    if not torch.is_grad_enabled():  # apply() would ask for gradients of whatever could have them
        return _loss_and_gradients((rows, weight, bias), wanted, terms, (False, False, False))[0]
    loss: torch.Tensor = _LinearCrossEntropy.apply(rows, weight, bias, wanted, terms)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """The loss with its gradients made ahead."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> torch.Tensor:  # noqa: ANN401 - torch's protocol
        """The loss; the gradients of what wants one are kept for the backward pass."""
        *inputs, targets, terms = given
        loss, gradients = _loss_and_gradients(tuple(inputs), targets, terms, ctx.needs_input_grad[:3])
        ctx.save_for_backward(*gradients)
        ctx.types = [None if tensor is None else tensor.dtype for tensor in inputs]
        return loss

    @staticmethod
    def backward(ctx: Any, incoming: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401 - torch's protocol
        """What was kept, times the gradient that comes in."""
        if (
            torch.is_grad_enabled()
        ):  # create_graph=True: the second derivative would lack this loss, and nobody would know
            raise DescriptionError(
                "linear_cross_entropy cannot be differentiated twice (create_graph=True). "
                "Take torch.nn.functional.cross_entropy of the whole logits for that."
            )
        kept = zip(ctx.saved_tensors, ctx.types, strict=True)
        return (*(_scaled(gradient, incoming, kind) for gradient, kind in kept), None, None)


def _scaled(gradient: torch.Tensor | None, incoming: torch.Tensor, kind: torch.dtype | None) -> torch.Tensor | None:
    """The gradient times the scalar that comes in; the gradient itself where that is 1 and asking costs nothing."""
    if gradient is None or kind is None:
        return None
    # An accelerator would have to wait for the answer, and a tensor without numbers has none.
    if type(incoming) is torch.Tensor and incoming.device.type == "cpu" and incoming.item() == 1:
        return gradient.to(kind)
    return (gradient * incoming).to(kind)


def _loss_and_gradients(
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    targets: torch.Tensor,
    terms: _Terms,
    wanted: tuple[bool, bool, bool],
) -> tuple[torch.Tensor, Gradients]:
    """The loss, and its gradients by those of states, weight and bias that are wanted."""
    rows, vocabulary = inputs[0].shape[0], inputs[1].shape[0]
    kind = _product_type(inputs[0])
    states, weight, bias = (None if tensor is None else tensor.detach().to(kind) for tensor in inputs)
    assert states is not None
    assert weight is not None
    precise = kind if kind in EXACT_TYPES else torch.float32
    scale = 1 / max(rows, 1) if terms.reduction == "mean" else 1.0
    totals = _empty_gradients(inputs, kind, precise, wanted)
    losses = states.new_empty(rows, dtype=precise)
    step = _chunk_rows(terms.chunk_rows, rows, vocabulary, states.device.type)
    room = states.new_empty((min(step, rows), vocabulary))
    with torch.autocast(states.device.type, enabled=False):
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            logits = room[: part.stop - start]
            _product(states[part], weight.t(), bias, out=logits)
            slopes = logits.to(precise)  # the same tensor, unless the product's type is too coarse for a softmax
            losses[part] = _losses(slopes, targets[part, None], terms, with_slopes=any(wanted))
            if any(wanted):
                with gradients_ahead():
                    _add_gradients(totals, part, slopes, (logits, states[part], weight), scale)
        loss = losses.sum() * scale
    keep = [_kept(total, given, kind) for total, given in zip(totals, inputs, strict=True)]
    return loss, (keep[0], keep[1], keep[2])


def _product_type(states: torch.Tensor) -> torch.dtype:
    """The type that products are taken in: autocast's where it is on, as torch.nn.functional.linear would."""
    device = states.device.type
    if torch.is_autocast_enabled(device) and states.dtype is not torch.float64:
        return torch.get_autocast_dtype(device)
    return states.dtype


def _chunk_rows(asked: int | None, rows: int, vocabulary: int, device: str) -> int:
    """Rows of a chunk: what was asked for, or what the device works fast on, in chunks of one size."""
    if asked is not None:
        return asked
    most = CPU_CHUNK_ROWS if device == "cpu" else max(CPU_CHUNK_ROWS, CHUNK_LOGITS // vocabulary)
    chunks = -(-rows // most)
    return -(-rows // max(chunks, 1)) or 1


def _product(states: torch.Tensor, table: torch.Tensor, bias: torch.Tensor | None, *, out: torch.Tensor) -> None:
    """Write the logits of a chunk into `out`."""
    if bias is None:
        torch.mm(states, table, out=out)
    else:
        torch.addmm(bias, states, table, out=out)


def _losses(logits: torch.Tensor, targets: torch.Tensor, terms: _Terms, *, with_slopes: bool) -> torch.Tensor:
    """The loss of each row of a chunk; logits (rows, vocabulary) become the derivative of the row's loss by them."""
    smoothing, slope = terms.label_smoothing, None
    if terms.softcap is not None:
        logits.div_(terms.softcap).tanh_()
        slope = 1 - logits.square() if with_slopes else None
        logits.mul_(terms.softcap)
    aimed = logits.gather(1, targets)
    torch.log_softmax(logits, -1, out=logits)
    likelihood = logits.gather(1, targets)
    normaliser = aimed - likelihood  # log Z, without a second pass over the logits
    losses = (smoothing - 1) * likelihood + terms.z_loss * normaliser.square()
    if smoothing:
        losses -= smoothing * logits.mean(1, keepdim=True)
    if with_slopes:
        logits.exp_()
        if terms.z_loss:
            logits.mul_(1 + 2 * terms.z_loss * normaliser)
        if smoothing:
            logits.sub_(smoothing / logits.shape[1])
        logits.scatter_add_(1, targets, torch.full_like(likelihood, smoothing - 1))
        if slope is not None:
            logits.mul_(slope)
    return losses.squeeze(1)


def _empty_gradients(
    inputs: tuple[torch.Tensor | None, ...], kind: torch.dtype, precise: torch.dtype, wanted: tuple[bool, ...]
) -> Gradients:
    """Room for the gradients that are wanted: of states a chunk is written once, of the rest all chunks are added."""
    # fp16 reaches down to 6e-8: a mean over many rows would fall below, before a gradient scaler could lift it.
    states = torch.float32 if kind is torch.float16 else kind
    new = torch.empty_like if inputs[0] is not None and len(inputs[0]) else torch.zeros_like  # no row, no first chunk
    room = [
        new(given, dtype=dtype) if asked and given is not None else None
        for given, dtype, asked in zip(inputs, (states, precise, precise), wanted, strict=True)
    ]
    return room[0], room[1], room[2]


def _add_gradients(
    totals: Gradients,
    part: slice,
    slopes: torch.Tensor,
    factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    scale: float,
) -> None:
    """Add what a chunk gives to each gradient; `factors`: room for the slopes, the chunk's states, the weight."""
    room, states, weight = factors
    first = part.start == 0
    if totals[2] is not None:
        added = slopes.sum(0).mul_(scale)
        totals[2].copy_(added) if first else totals[2].add_(added)
    left = slopes if slopes.dtype == room.dtype else room.copy_(slopes)
    if totals[0] is not None:
        _add_product(totals[0][part], left, weight, scale, first=True)
    if totals[1] is not None:
        _add_product(totals[1], left.t(), states, scale, first=first)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float, *, first: bool) -> None:
    """Add scale x left right to `total`, in the precision of `total`; the first one is written."""
    if total.dtype == left.dtype:
        torch.addmm(total, left, right, beta=0 if first else 1, alpha=scale, out=total)
    elif first:
        torch.mul(torch.mm(left, right).to(total.dtype), scale, out=total)
    else:
        total.add_(torch.mm(left, right), alpha=scale)


def _kept(total: torch.Tensor | None, given: torch.Tensor | None, kind: torch.dtype) -> torch.Tensor | None:
    """A gradient as it waits for the backward pass: in its input's type, but in fp32 where that is too narrow."""
    if total is None or given is None:
        return None
    return total if kind is torch.float16 else total.to(given.dtype)


def _check_shapes(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Refuse tensors that do not fit one another."""
    if weight.dim() != 2 or states.shape[-1:] != weight.shape[1:]:
        raise DescriptionError(
            f"states {tuple(states.shape)} and weight {tuple(weight.shape)} do not fit. "
            f"Give states (rows, width) and weight (vocabulary, width)."
        )
    if targets.shape != states.shape[:-1]:
        raise DescriptionError(
            f"targets {tuple(targets.shape)} do not fit states {tuple(states.shape)}. "
            f"Give one target a row: {tuple(states.shape[:-1])}."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise DescriptionError(
            f"bias {tuple(bias.shape)} does not fit weight {tuple(weight.shape)}. Give ({weight.shape[0]},)."
        )
    if targets.dtype is not torch.int64:
        raise DescriptionError(f"targets are {targets.dtype}. Give whole numbers of torch.int64.")
    kinds = {tensor.dtype for tensor in (states, weight, bias) if tensor is not None}
    if len(kinds) > 1 and not torch.is_autocast_enabled(states.device.type):
        raise DescriptionError(
            f"states, weight and bias are of {', '.join(sorted(map(str, kinds)))}. "
            f"Give one type, or call this under torch.autocast."
        )


def _check_targets(targets: torch.Tensor, vocabulary: int) -> None:
    """Refuse a target that is no row of the table; on an accelerator, which one would have to wait for, it refuses."""
    if type(targets) is not torch.Tensor or targets.device.type != "cpu" or not targets.numel():
        return
    least, most = (int(bound) for bound in targets.aminmax())
    if least < 0 or most >= vocabulary:
        raise DescriptionError(
            f"target {least if least < 0 else most} is not in the vocabulary of {vocabulary} tokens. "
            f"Give tokens from 0 to {vocabulary - 1}, or ignore_index where there is nothing to predict."
        )
