"""Time of messages between accelerators: inside a domain of fast links, and between domains over the network."""

from __future__ import annotations

from tonne.count.masks import minimum
from tonne.estimate import Number


def maximum(first: Number, second: Number) -> Number:
    """The larger one, element by element for arrays."""
    return first * (first >= second) + second * (second > first)


def rounded_maximum(first: Number, second: Number, width: Number) -> Number:
    """The larger one, its corner rounded so that it has a slope everywhere.

    Equation: t = (a + b + sqrt((a - b)^2 + w^2)) / 2, with a = first, b = second, w = width. It is w / 2 above the
    larger one where both are the same, and less the farther they are apart.

    Args:
        first: A number or an array, real or complex.
        second: Likewise.
        width: Of the corner, in their unit.

    Returns:
        In their unit.

    Source: tonne
    """
    apart = first - second
    return (first + second + (apart * apart + width * width) ** 0.5) / 2


def rounded_minimum(first: Number, second: Number, softness: float) -> Number:
    """The smaller one of two positive numbers, its corner rounded by a share of their mean, sharp for a share of 0."""
    if not softness:
        return minimum(first, second)
    return first + second - rounded_maximum(first, second, softness * (first + second) / 2)


def group_bytes_per_s(
    members: Number,
    inner: Number,
    domain: Number,
    link_bytes_per_s: Number,
    network_bytes_per_s: Number,
    softness: float = 0.0,
) -> Number:
    """Rate at which every member of a group receives in a ring that passes through all of it.

    Equation: B = L where the group lies in one domain, else min(L, N r), with L = link_bytes_per_s,
    N = network_bytes_per_s, r = max(1, D / i) = its members in one domain, each with a network port of its own,
    D = domain, i = inner.

    Args:
        members: Accelerators of the group.
        inner: Accelerators of other groups between two neighbours of this one (tensor x context).
        domain: Accelerators joined by fast links.
        link_bytes_per_s: Of one accelerator inside a domain, one direction, achieved [byte/s].
        network_bytes_per_s: Of one accelerator between domains, one direction, achieved [byte/s].
        softness: Of the smaller one's corner, as a share; zero but for fits.

    Returns:
        Rate [byte/s].

    Source: narayanan2021megatron, section 3.
    """
    together = maximum(domain / inner, 1.0 + 0.0 * domain)
    across = rounded_minimum(link_bytes_per_s, network_bytes_per_s * together, softness)
    inside = members <= together
    return inside * link_bytes_per_s + (1 - inside) * across


def routed_s(
    sent_bytes: Number,
    per_token: Number,
    expert: Number,
    domain: Number,
    rates: tuple[Number, Number],
    copied: Number = 0.0,
) -> Number:
    """Time to send every token's state to its experts and back, forward and backward.

    Equation: t = b m (1 - 1/i) / L + b n' (1 - 1/n) / N, with b = sent_bytes, m = min(k, e), k = per_token,
    e = expert, i = min(e, D), D = domain, n = max(1, e / D) domains, n' = min(k, n); a token goes to a domain once.
    Where it is copied for every expert: t = b k (1 - 1/i) / (n L) + b k (1 - 1/n) / N.

    Args:
        sent_bytes: Bytes of the tokens' states, once for each of the four exchanges of every layer [byte].
        per_token: Experts that a token visits.
        expert: Accelerators that share the experts.
        domain: Accelerators joined by fast links.
        rates: Achieved bytes per second of the links and of the network [byte/s].
        copied: 1 where a plain exchange sends a copy for every expert, 0 where kernels send one to each accelerator or
            domain.

    Returns:
        Time [s].

    Source: deepseek2024v3, section 3.2.2.
    """
    link, network = rates
    inside = minimum(expert, domain)
    domains = maximum(expert / domain, 1.0 + 0.0 * domain)
    within = copied * per_token / domains + (1 - copied) * minimum(per_token, expert)
    across = copied * per_token + (1 - copied) * minimum(per_token, domains)
    return sent_bytes * (within * (1 - 1 / inside) / link + across * (1 - 1 / domains) / network)


def exposed_s(
    message_s: Number, compute_s: Number, least_share: Number, overlap: Number, softness: float = 0.0
) -> Number:
    """What of the messages is not hidden behind computing.

    Equation: t = max(x c, c - o k), with c = message_s, k = compute_s, x = least_share, o = overlap.

    Args:
        message_s: Time of the messages alone [s].
        compute_s: Time of the computing that they may run beside [s].
        least_share: Share of the messages that is never hidden.
        overlap: Share of the computing that hides messages.
        softness: Of the larger one's corner, as a share of the messages; zero but for fits.

    Returns:
        Time [s].

    Source: tonne
    """
    least, left = least_share * message_s, message_s - overlap * compute_s
    return rounded_maximum(least, left, softness * message_s) if softness else maximum(least, left)
