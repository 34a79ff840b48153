"""Mixture of experts: a router sends each token to a few feed-forward blocks, none is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from tonne.count.layers import shared_expert_width
from tonne.errors import DescriptionError
from tonne.model.feed_forward import FeedForward, activation, activation_slopes, xielu
from tonne.model.making import INITIAL_STD, Linear, Making

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture, Experts

SWIGLU_SLOPE = 1.702  # openai2025gptoss, section 2: the gate is x sigmoid(1.702 x)


def has_experts(experts: Experts | None, layer: int) -> bool:
    """Whether the layer with this number, from 0, has experts."""
    if experts is None or layer < experts.dense_layers or layer in experts.dense_at:
        return False
    return (layer - experts.dense_layers + 1) % experts.every == 0


class Router(nn.Module):
    """Which experts a token visits, and with what weight.

    Equation: p = softmax(W x) or sigmoid(W x); the per_token largest p (a learned correction added for the choice
    alone) are visited, with weights p, divided by their sum where they are normalized.

    Source: fedus2021switch, section 2.1; deepseek2024v3, section 2.1.2.
    """

    def __init__(self, architecture: Architecture, experts: Experts, *, making: Making) -> None:
        """A row an expert."""
        super().__init__()
        e = experts
        if e.count % e.groups or e.groups_per_token > e.groups:
            raise DescriptionError(
                f"experts.groups={e.groups} and groups_per_token={e.groups_per_token} do not fit experts.count="
                f"{e.count}. Use a number of groups that divides it, and visit no more groups than there are."
            )
        self.experts = e
        self.normalized = e.per_token > 1 if e.normalized_weights is None else e.normalized_weights
        self.scores = Linear(architecture.width, e.count, bias=e.router_bias, making=making)
        correction = torch.zeros(e.count, **making.place)  # moved by a rule for balance, never by a gradient
        self.correction = nn.Parameter(correction, requires_grad=False) if e.router_correction else None

    def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The way of each token.

        Args:
            states: (tokens, width).

        Returns:
            Experts visited (tokens, per_token), their weights (tokens, per_token), probabilities (tokens, experts).
        """
        logits = self.scores(states)
        logits = logits if logits.dtype == torch.float64 else logits.float()  # choices are sensitive to rounding
        softmax = self.experts.router_scores == "softmax"
        scores = logits.softmax(-1) if softmax else logits.sigmoid()
        chosen = self._eligible(scores).topk(self.experts.per_token, -1).indices
        weights = scores.gather(-1, chosen)
        if self.normalized:
            weights = weights / weights.sum(-1, keepdim=True)
        shares = scores if softmax else scores / scores.sum(-1, keepdim=True)
        return chosen, (weights * self.experts.routing_scale).to(states.dtype), shares

    def _eligible(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores for the choice: corrected, and none for experts outside the best groups."""
        e = self.experts
        scores = scores.detach() if self.correction is None else scores.detach() + self.correction
        if e.groups == e.groups_per_token:
            return scores
        grouped = torch.unflatten(scores, -1, (e.groups, -1))  # (N, G, E / G)
        best = grouped.amax(-1) if e.group_score == "maximum" else grouped.topk(2, -1).values.sum(-1)
        visited = torch.zeros_like(best, dtype=torch.bool).scatter(-1, best.topk(e.groups_per_token, -1).indices, True)
        return grouped.masked_fill(~visited[..., None], float("-inf")).flatten(-2)


class ExpertFeedForward(nn.Module):
    """The feed-forward block of a layer with experts: those that a token visits, and those that all tokens share."""

    def __init__(self, architecture: Architecture, experts: Experts, *, making: Making) -> None:
        """The experts' matrices stand in one tensor each, (experts, outputs, inputs)."""
        super().__init__()
        a, e = architecture, experts
        self.gated = (e.feed_forward or a.feed_forward) == "gated"
        self.count, self.limit, self.weighted_input = e.count, a.swiglu_limit, e.weighted_input
        self.router = Router(a, e, making=making)
        rows = (1 + self.gated) * e.width  # the gate's first
        self.up = nn.Parameter(torch.empty(e.count, rows, a.width, **making.place))
        self.down = nn.Parameter(torch.empty(e.count, a.width, e.width, **making.place))
        self.up_bias = nn.Parameter(torch.empty(e.count, rows, **making.place)) if e.bias else None
        self.down_bias = nn.Parameter(torch.empty(e.count, a.width, **making.place)) if e.bias else None
        self.slopes = activation_slopes(a, (e.count,), making)
        self.shared = _shared(a, e, gated=self.gated, making=making)
        self.shared_gate = Linear(a.width, 1, bias=False, making=making) if e.shared_gate else None
        self.function = activation(a)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the experts' matrices anew, and set their biases to zero."""
        for matrix in (self.up, self.down):
            nn.init.normal_(matrix, std=INITIAL_STD)
        for bias in (self.up_bias, self.down_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(
        self, states: torch.Tensor, real: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States after the experts, and how unequally these are used.

        Args:
            states: (batch, length, width).
            real: (batch, length), true for a real token; padding does not count for the balance. None: all.

        Returns:
            (batch, length, width), and while training the loss for balance, 1 where all experts are used alike.
        """
        flat = states.flatten(0, -2)  # (N, W)
        chosen, weights, shares = self.router(flat)
        mixed = self._visited(flat, chosen, weights).view_as(states)
        for block in self.shared:
            more = block(states)
            mixed = mixed + (more if self.shared_gate is None else more * torch.sigmoid(self.shared_gate(states)))
        if not self.training:
            return mixed, None
        if real is not None:
            chosen, shares = chosen[real.flatten()], shares[real.flatten()]
        return mixed, balance_loss(chosen, shares)

    def _visited(self, flat: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Each token's experts, weighted and summed; every expert works on its tokens at once."""
        order = chosen.flatten().argsort(stable=True)  # token-expert pairs, by expert
        pairs = torch.div(order, chosen.shape[-1], rounding_mode="floor")
        weight = weights.flatten()[order, None]
        taken = flat[pairs] * weight if self.weighted_input else flat[pairs]
        sizes = torch.bincount(chosen.flatten(), minlength=self.count).tolist()
        parts = [self._expert(index, part) for index, part in enumerate(torch.split(taken, sizes)) if sizes[index]]
        given = torch.cat(parts)
        given = given if self.weighted_input else given * weight
        return torch.zeros_like(flat).index_add(0, pairs, given)

    def _expert(self, index: int, states: torch.Tensor) -> torch.Tensor:
        biases = [None if bias is None else bias[index] for bias in (self.up_bias, self.down_bias)]
        inner = functional.linear(states, self.up[index], biases[0])
        if self.gated:
            gate, up = inner.chunk(2, -1)
            inner = self._gated(index, gate, up)
        else:
            inner = self._active(index, inner)
        return functional.linear(inner, self.down[index], biases[1])

    def _gated(self, index: int, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        if self.limit is None:
            return self._active(index, gate) * up
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return gate * torch.sigmoid(SWIGLU_SLOPE * gate) * (up + 1)

    def _active(self, index: int, states: torch.Tensor) -> torch.Tensor:
        return self.function(states) if self.slopes is None else xielu(states, *self.slopes[index].unbind(-1))


def balance_loss(chosen: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """How unequally the experts are used: 1 where each is alike, as many as there are experts where one is used alone.

    Equation: E sum_e f_e P_e, f_e = share of the visits that go to expert e, P_e = mean probability of e.

    Args:
        chosen: (tokens, per_token), the experts visited.
        shares: (tokens, experts), probabilities.

    With several experts a token f_e is a share of all visits.

    Source: fedus2021switch, section 2.2, equation 4.
    """
    experts = shares.shape[-1]
    visits = torch.bincount(chosen.flatten(), minlength=experts).to(shares.dtype)
    return experts * (visits / chosen.numel() * shares.mean(0)).sum()


def _shared(a: Architecture, e: Experts, *, gated: bool, making: Making) -> nn.ModuleList:
    """The experts that all tokens visit: one wide block, or several where each has numbers of its own."""
    bias = e.bias if e.shared_bias is None else e.shared_bias
    blocks = e.shared if bias or a.activation_weights else min(e.shared, 1)
    if not blocks:
        return nn.ModuleList()
    inner = e.shared * shared_expert_width(e) // blocks
    made = (FeedForward(a, making=making, inner=inner, bias=bias, gated=gated) for _ in range(blocks))
    return nn.ModuleList(made)
