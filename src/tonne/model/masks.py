"""Who sees whom: causal, padding, windows, prefixes and packed documents, as few tensors as that needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch._subclasses.fake_tensor import FakeTensor

from tonne.errors import DescriptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sees:
    """What the queries of one attention see.

    ``allowed``: true where a query sees a key, (batch or 1, 1, queries, keys); None: all that ``causal`` lets.
    ``bias``: what is added to the scores, (batch or 1, heads, queries, keys). ``causal``: no key after its query;
    where it is set, ``allowed`` and ``bias`` are None, and the kernel needs no mask at all.
    """

    allowed: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    causal: bool = False

    def with_bias(self, bias: torch.Tensor) -> Sees:
        """The same with a bias added; a causal mask becomes a tensor then."""
        plain = self.written(bias.shape[-2], bias.shape[-1], bias.device)
        return replace(plain, bias=bias if self.bias is None else self.bias + bias)

    def written(self, queries: int, keys: int, device: torch.device) -> Sees:
        """The same with a causal mask as a tensor."""
        if not self.causal:
            return self
        ones = torch.ones(queries, keys, dtype=torch.bool, device=device)
        return replace(self, allowed=ones.tril()[None, None], causal=False)

    def scores_mask(self) -> torch.Tensor | None:
        """One tensor for the kernel: boolean, or numbers that are added to the scores."""
        if self.bias is None:
            return self.allowed
        return self.bias if self.allowed is None else self.bias.masked_fill(~self.allowed, float("-inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What is known of the tokens that enter a stack besides themselves.

    ``mask``: (batch, keys), 1 for a real token; None: all are real. ``documents``: (batch, keys), which packed document
    a token belongs to. ``prefix``: (batch,), first tokens that see one another. ``before``: tokens in the cache; the
    queries are those after them.
    """

    queries: int
    device: torch.device
    mask: torch.Tensor | None = None
    documents: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    before: int = 0

    @property
    def keys(self) -> int:
        """Tokens that may be seen: those in the cache too."""
        return self.before + self.queries

    def query_positions(self) -> torch.Tensor:
        """(queries,): places counted from the first key."""
        return torch.arange(self.before, self.keys, device=self.device)

    def key_positions(self) -> torch.Tensor:
        """(keys,): 0, 1, ..."""
        return torch.arange(self.keys, device=self.device)


def is_hollow(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds no numbers, so that nothing may depend on them."""
    return tensor.device.type == "meta" or isinstance(tensor, FakeTensor)


def readable(tensor: torch.Tensor) -> bool:
    """Whether Python may look at a tensor's numbers: not without any, and not while a graph is traced."""
    return not is_hollow(tensor) and not torch.compiler.is_compiling()


def checked_mask(mask: torch.Tensor | None, shape: tuple[int, int], name: str) -> torch.Tensor | None:
    """A padding mask as booleans; None where all tokens are real.

    Raises:
        DescriptionError: Its shape is not that of the tokens.
    """
    if mask is None:
        return None
    if tuple(mask.shape) != shape:
        raise DescriptionError(
            f"{name} has shape {tuple(mask.shape)}, but the tokens have {shape}. Give one number a token: 1 for a real "
            f"one, 0 for padding."
        )
    real = mask.bool()
    return None if readable(real) and bool(real.all()) else real


def may_be_read(tensor: torch.Tensor) -> bool:
    """Whether Python must look at numbers where the work depends on them; without any, a fake tensor then says so."""
    return tensor.device.type != "meta" and not torch.compiler.is_compiling()


def padded_on_the_right(mask: torch.Tensor) -> bool:
    """Whether all padding stands after the real tokens, where a causal mask hides it already."""
    return readable(mask) and bool((mask[:, 1:] <= mask[:, :-1]).all())


def seen(tokens: Tokens, *, causal: bool, window: int | None) -> Sees:
    """What the tokens of one stack see of themselves.

    Args:
        tokens: The tokens, their padding, documents and prefix.
        causal: No key after its query.
        window: Under a causal mask the tokens seen, itself included; else half of it is seen to either side [token].

    Returns:
        Where a causal mask alone says it all, no tensor. Padding sees itself, lest it has nothing to average.

    Raises:
        DescriptionError: There are a prefix and a window, which have no meaning together.
    """
    t = tokens
    if t.prefix is not None and (window is not None or not causal):
        raise DescriptionError(
            "a prefix has a meaning under a causal mask without a window only. Leave prefix out, or attention_window."
        )
    reach = window if window is not None and (window < t.keys if causal else window // 2 < t.keys - 1) else None
    mask = t.mask
    if causal and mask is not None and t.prefix is None and padded_on_the_right(mask):
        mask = None
    plain = mask is None and t.documents is None and t.prefix is None and reach is None
    if plain and (not causal or t.queries == 1):
        return Sees()
    if plain and not t.before:
        return Sees(causal=True)
    return Sees(allowed=_allowed(replace(t, mask=mask), causal=causal, reach=reach))


def _allowed(t: Tokens, *, causal: bool, reach: int | None) -> torch.Tensor:
    """(batch or 1, 1, queries, keys): true where a query sees a key."""
    query, key = t.query_positions()[:, None], t.key_positions()[None]
    allowed: torch.Tensor | None = key <= query if causal else None
    if allowed is not None and t.prefix is not None:
        allowed = allowed | (key < t.prefix[:, None, None])  # (B, T, S): all keys of the prefix, whoever asks
        allowed = allowed[:, None]
    elif allowed is not None:
        allowed = allowed[None, None]
    if reach is not None:
        near = query - key < reach if causal else (query - key).abs() <= reach // 2
        allowed = near[None, None] if allowed is None else allowed & near
    if t.documents is not None:
        same = t.documents[:, None, t.before :, None] == t.documents[:, None, None, :]
        allowed = same if allowed is None else allowed & same
    if t.mask is None:
        return allowed  # type: ignore[return-value]  # without a mask one of the others is there
    real = t.mask[:, None, None, :]
    allowed = real if allowed is None else allowed & real
    return allowed | (query == key)


def seen_across(mask: torch.Tensor | None) -> Sees:
    """What a decoder sees of the encoder's states: all real tokens, of any target.

    Args:
        mask: (batch, source length), true for a real token; None: all.
    """
    return Sees() if mask is None else Sees(allowed=mask[:, None, None, :])


def counted_positions(tokens: Tokens) -> torch.Tensor | None:
    """Places of the queries within their document, padding before it left out.

    Returns:
        (batch, queries) [token], or None where they are simply 0, 1, ... in every sequence.
    """
    t = tokens
    places = t.query_positions()[None]
    if t.documents is not None:
        return places - _starts(t.documents)[:, t.before :]
    if t.mask is not None and not padded_on_the_right(t.mask):
        first = t.mask.int().argmax(-1, keepdim=True)  # real tokens count from the first one
        return (places - first).clamp(min=0)
    return places if t.before else None


def _starts(documents: torch.Tensor) -> torch.Tensor:
    """(batch, keys): where the document of each token begins."""
    places = torch.arange(documents.shape[1], device=documents.device)[None]
    new = torch.ones_like(documents, dtype=torch.bool)
    new[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return torch.where(new, places, 0).cummax(-1).values
