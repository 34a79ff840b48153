"""What simpler formulas say of a measured inference run."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tonne.count.parameters import active_parameters, parameters
from tonne.forecasting.served_runs import ServedRun

FLOP_PER_PARAMETER = 2
PEAK_FRACTION = 0.4
TWO_N = "2N FLOP at 40 % of peak"
BANDWIDTH = "memory bandwidth alone"
TWO_N_ENERGY = "2N FLOP at 40 %, board limit"
ECOLOGITS_ONE, ECOLOGITS_MANY = "EcoLogits, one sequence", "EcoLogits, batch of 64"
# Wh of a token per billion active parameters, and besides: fitted on one sequence at a time, and on batches
ECOLOGITS_WH = {
    ECOLOGITS_ONE: (8.91e-5, 1.43e-3),
    ECOLOGITS_MANY: (1.1665e-6 * math.exp(-0.011206 * 64), 4.0529e-5),
}
ECOLOGITS_MEMORY_GB, ECOLOGITS_OVERHEAD = 80.0, 1.2
BITS_PER_BYTE, BILLION, JOULE_PER_WH = 8, 1e9, 3600.0


def two_n_s(served: ServedRun) -> float:
    """Time from 2 FLOP a parameter and token, at a fixed share of the peak.

    Equation: t = 2 N T / (n P 0.4), with N = active parameters, T = tokens worked on, prompts as well as answers,
    n = accelerators, P = peak.

    Source: tonne
    """
    flop = FLOP_PER_PARAMETER * active_parameters(served.serving.architecture) * _tokens(served)
    work = served.work
    return flop / (work["replica_accelerators"] * work["replica_peak_flop_per_s"] * PEAK_FRACTION)


def bandwidth_s(served: ServedRun) -> float:
    """Time from reading weights and cache alone, at the bandwidth as sold.

    Equation: t = S (W + B K) / (n b), with S = decode steps (one for a prefill), W = bytes of weights read, B = batch,
    K = cache of a sequence, n = accelerators, b = memory bandwidth; of a busy server, a request's share t / B.

    Source: tonne
    """
    work, batch = served.work, served.work["batch_sequences"]
    rate = work["replica_accelerators"] * work["memory_bandwidth_bytes_per_s"]
    if served.phase == "prefill":
        return work["prefill_weights_bytes"] / rate
    step_s = (work["decode_weights_bytes"] + batch * work["decode_cache_bytes"]) / rate
    steps = {"decode": 1.0, "request": work["decode_steps"], "mixed": work["decode_steps"] / batch}[served.phase]
    return steps * step_s


def peer_times_s(served: ServedRun) -> dict[str, float]:
    """Times by the simpler formulas, by name [s]."""
    return {TWO_N: two_n_s(served), BANDWIDTH: bandwidth_s(served)}


def ecologits_j_per_token(served: ServedRun, version: str) -> float:
    """Energy of the accelerators for one output token, by EcoLogits.

    Equation: E = G (8.91e-5 N + 1.43e-3) Wh by its first regression, of one sequence at a time;
    E = G (1.1665e-6 e^(-0.011206 B) N + 4.0529e-5) Wh with B = 64 by its later one, of batches; N = active parameters
    in billions, G = ceil(1.2 M q / 8 / 80 GB) accelerators, M = parameters, q = bits of a weight.

    Returns:
        Energy [J]. Server and PUE, which the tool adds, are not included.

    Source: rince2024ecologits, energy of a GPU and number of GPUs.
    """
    per_billion_wh, besides_wh = ECOLOGITS_WH[version]
    a = served.serving.architecture
    bits = {"fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8}.get(served.serving.weight_precision, 4)
    held_gb = ECOLOGITS_OVERHEAD * parameters(a) * bits / BITS_PER_BYTE / BILLION
    cards = math.ceil(held_gb / ECOLOGITS_MEMORY_GB)
    per_card_wh = per_billion_wh * active_parameters(a) / BILLION + besides_wh
    return cards * per_card_wh * JOULE_PER_WH


def peer_energies_j(served: ServedRun) -> Mapping[str, float]:
    """Energies of an output token by the simpler formulas, by name [J]."""
    found = {version: ecologits_j_per_token(served, version) for version in ECOLOGITS_WH}
    limit_w = served.serving.record.board_power_limit_w
    if limit_w is not None:
        answered = served.serving.output_tokens
        found[TWO_N_ENERGY] = two_n_s(served) * served.serving.accelerators * limit_w / answered
    return found


def _tokens(served: ServedRun) -> float:
    """Tokens that go through the model in the time that a row measured."""
    s = served.serving
    if served.phase == "decode":
        return s.batch_sequences
    if served.phase == "prefill":
        return s.batch_sequences * s.prompt_tokens
    sequences = 1 if served.phase == "mixed" else s.batch_sequences
    return sequences * (s.prompt_tokens + s.output_tokens)
