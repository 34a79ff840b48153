"""One replica that serves a model: what it must hold, the work of a request, and the time that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tonne.count import inference as count
from tonne.count.flops import SCORES
from tonne.count.layers import stacks
from tonne.describe.architecture import Architecture
from tonne.energy import inference as energy
from tonne.errors import DescriptionError
from tonne.estimate import Number
from tonne.reference.accelerators import AcceleratorRecord
from tonne.timing import inference as timing

GIGA, TERA = 1e9, 1e12
HEADROOM = 0.9  # share of the memory for weights and cache; the rest is activations, graphs and the engine's own
MOST_ACCELERATORS = 4096
PCIE_GB_S = 64.0  # both directions of a PCIe 4 slot, where the tables know no link
# In what precision matrices multiply: four-bit integers are widened to 16 bits first.
PEAKS = {
    "fp32": ("fp32",),
    "tf32": ("tf32", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16"),
    "int8": ("int8", "bf16", "fp16"),
    "fp4": ("fp4", "bf16", "fp16"),
    "int4": ("bf16", "fp16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A model on a replica, and the requests that it answers."""

    architecture: Architecture
    record: AcceleratorRecord
    accelerators: int
    batch_sequences: int
    prompt_tokens: int
    output_tokens: int
    weight_precision: str = "bf16"
    cache_precision: str = "bf16"
    cache: bool = True
    multiplied_in: str | None = None  # where an engine widens the weights before it multiplies
    prefill_sequences: int = 1  # prompts read at once; a server that never stops takes them one by one

    @property
    def in_one_pass(self) -> bool:
        """Whether a request is one pass without output tokens: of an encoder, or of a model that gives labels."""
        return count.answers_in_one_pass(self.architecture)

    @property
    def decode_steps(self) -> int:
        """Steps after the prefill, which brings the first output token."""
        return 0 if self.in_one_pass else max(self.output_tokens - 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a replica holds with a full batch at its longest [bytes], and what is there for it."""

    weights_bytes: float
    cache_bytes: float
    available_bytes: float | None

    @property
    def fits(self) -> bool:
        """Whether it does; taken for granted where the memory is unknown."""
        return self.available_bytes is None or self.weights_bytes + self.cache_bytes <= self.available_bytes


def held_of(serving: Serving) -> Held:
    """Bytes that a replica holds, copies of keys where accelerators outnumber their heads included."""
    s = serving
    context, source = _lengths(s, s.output_tokens)
    per_sequence = count.cache_bytes(s.architecture, context, source, s.cache_precision) if s.cache else 0.0
    memory_gb = s.record.memory_gb
    return Held(
        weights_bytes=count.served_weights_bytes(s.architecture, s.weight_precision),
        cache_bytes=s.batch_sequences * per_sequence * cache_copies(s),
        available_bytes=None if memory_gb is None else HEADROOM * memory_gb * GIGA * s.accelerators,
    )


def cache_copies(serving: Serving) -> float:
    """How often the cache is held: once, until more accelerators share the matrices than there are heads of keys."""
    a = serving.architecture
    return 1.0 if a.latent_attention is not None else max(1.0, serving.accelerators / a.kv_heads)


def fewest_accelerators(serving: Serving) -> int:
    """The smallest power of two of accelerators that holds weights and cache.

    Raises:
        DescriptionError: Not even thousands would.
    """
    number = 1
    while number <= MOST_ACCELERATORS:
        if held_of(replace(serving, accelerators=number)).fits:
            return number
        number *= 2
    raise DescriptionError(
        f"no number of {serving.record.id} up to {MOST_ACCELERATORS} holds {serving.batch_sequences} sequences of "
        f"{serving.prompt_tokens + serving.output_tokens} tokens. Give a smaller batch_sequences or shorter requests."
    )


def peak_precision(record: AcceleratorRecord, weight_precision: str) -> str:
    """The precision in which an accelerator multiplies weights of some precision.

    Raises:
        DescriptionError: The table has no peak for it.
    """
    for precision in PEAKS[weight_precision]:
        if precision in record.peak_dense_tflop_per_s:
            return precision
    raise DescriptionError(
        f"the table has no peak of {record.id} for weight_precision={weight_precision!r}. "
        f"It has: {', '.join(record.peak_dense_tflop_per_s)}. Choose another accelerator or precision."
    )


def work_of(serving: Serving) -> dict[str, float]:
    """The work of a request and the replica's rates, by name: exact numbers.

    Returns:
        FLOP and bytes of the prefill and, the mean over its decode steps, of one token. Where there is no cache, a
        step passes the whole sequence through the model.

    Raises:
        DescriptionError: The tables lack the peak or the bandwidth of the accelerator.
    """
    s, a = serving, serving.architecture
    if s.record.memory_bandwidth_gb_s is None:
        raise DescriptionError(f"the memory bandwidth of {s.record.id} is not in the tables. Choose another.")
    peak = s.record.peak_dense_tflop_per_s[peak_precision(s.record, s.multiplied_in or s.weight_precision)]
    layers = sum(number for number, _ in stacks(a))
    return {
        "replica_accelerators": float(s.accelerators),
        "batch_sequences": float(s.batch_sequences),
        "replica_peak_flop_per_s": peak * TERA,
        "memory_bandwidth_bytes_per_s": s.record.memory_bandwidth_gb_s * GIGA,
        "prefill_flop": float(s.prefill_sequences * count.prefill_flop(a, s.prompt_tokens)),
        "prefill_weights_bytes": _prefill_weights_bytes(s),
        "prefill_exchange_bytes": s.prefill_sequences * s.prompt_tokens * _exchange_bytes(s, layers),
        "decode_exchange_bytes": _exchange_bytes(s, stacks(a)[-1][0]),
        "link_bytes_per_s": (s.record.interconnect_gb_s_bidirectional or PCIE_GB_S) / 2 * GIGA,
        "has_experts": float(a.experts is not None),
        "prefill_layers": float(layers),
        "decode_layers": float(stacks(a)[-1][0]),
        "decode_steps": float(s.decode_steps),
        **_decode_work(s),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What bounds a phase [s]: the longer of arithmetic and reading counts, exchange and overhead come on top."""

    arithmetic_s: float
    reading_s: float
    exchange_s: float
    overhead_s: float


def sides_of(x: Mapping[str, float]) -> tuple[Sides, Sides]:
    """A prompt alone and a decode step from the compute-bound and the memory-bound side, before engines scatter."""
    n, batch = x["replica_accelerators"], x["batch_sequences"]
    rate = (n, x["replica_peak_flop_per_s"], x["prefill_peak_fraction"] * x["experts_fraction"] ** x["has_experts"])
    memory = (n, x["memory_bandwidth_bytes_per_s"], x["bandwidth_fraction"])
    link = (x["link_bytes_per_s"], x["link_fraction"])
    overhead = (x["layer_s"], x["latency_s"], n)
    prompt = Sides(
        arithmetic_s=timing.compute_s(x["prefill_flop"], *rate),
        reading_s=timing.reading_s(x["prefill_weights_bytes"], *memory),
        exchange_s=timing.exchange_s(x["prefill_exchange_bytes"], *link),
        overhead_s=timing.overhead_s(x["prefill_layers"], *overhead),
    )
    read = x["decode_weights_bytes"] + batch * x["decode_cache_bytes"]
    step = Sides(
        arithmetic_s=timing.compute_s(batch * (x["decode_matrices_flop"] + x["decode_scores_flop"]), *rate),
        reading_s=timing.reading_s(read, *memory),
        exchange_s=timing.exchange_s(batch * x["decode_exchange_bytes"], *link),
        overhead_s=timing.overhead_s(x["decode_layers"], *overhead),
    )
    return prompt, step


def times_of(x: Mapping[str, Number]) -> dict[str, Number]:
    """Times of the phases, from the work and the coefficients by name [s].

    Returns:
        prefill_s (a prompt alone), decode_step_s, of it decode_computing_s (its arithmetic) and decode_overhead_s, and
        of a request on a replica that is kept full prefill_share_s and replica_s.
    """
    n, batch = x["replica_accelerators"], x["batch_sequences"]
    fraction = x["prefill_peak_fraction"] * x["experts_fraction"] ** x["has_experts"]
    rate = (n, x["replica_peak_flop_per_s"], fraction)
    memory = (n, x["memory_bandwidth_bytes_per_s"], x["bandwidth_fraction"])
    link = (x["link_bytes_per_s"], x["link_fraction"])
    prefill = (
        timing.compute_s(x["prefill_flop"], *rate),
        timing.exchange_s(x["prefill_exchange_bytes"], *link),
        timing.reading_s(x["prefill_weights_bytes"], *memory),
        timing.overhead_s(x["prefill_layers"], x["layer_s"], x["latency_s"], n),
    )
    prefill_s = x["prefill_time_factor"] * timing.prefill_s(*prefill, 1.0)
    prefill_share_s = x["prefill_time_factor"] * timing.prefill_s(*prefill, batch)
    multiplying_s = timing.compute_s(batch * x["decode_matrices_flop"], *rate)
    attending_s = timing.compute_s(batch * x["decode_scores_flop"], *rate)
    resting_s = timing.overhead_s(x["decode_layers"], x["layer_s"], x["latency_s"], n)
    step_s = x["decode_time_factor"] * timing.decode_step_s(
        (multiplying_s, timing.reading_s(x["decode_weights_bytes"], *memory)),
        (attending_s, timing.reading_s(batch * x["decode_cache_bytes"], *memory)),
        timing.exchange_s(batch * x["decode_exchange_bytes"], *link),
        resting_s,
    )
    return {
        "prefill_s": prefill_s,
        "prefill_share_s": prefill_share_s,
        "decode_step_s": step_s,
        "decode_computing_s": x["decode_time_factor"] * (multiplying_s + attending_s),
        "decode_overhead_s": x["decode_time_factor"] * resting_s,
        "replica_s": timing.replica_s(prefill_share_s, step_s, x["decode_steps"], batch),
    }


def serving_joule(x: Mapping[str, Number], times: Mapping[str, Number], idle_w: Number, full_w: Number) -> Number:
    """Energy of one accelerator while it serves a request [J]: a prompt at training's power, decode steps below it."""
    joule = full_w * times["prefill_share_s"]
    if not x["decode_steps"]:
        return joule
    activities = (x["memory_activity"], x["resting_activity"])
    activity = energy.decode_activity(
        times["decode_computing_s"], times["decode_step_s"], times["decode_overhead_s"], activities
    )
    decoding_s = x["decode_steps"] * times["decode_step_s"] / x["batch_sequences"]
    return joule + energy.serving_power_w(idle_w, full_w, activity) * decoding_s


def _exchange_bytes(s: Serving, layers: int) -> float:
    """Bytes that one accelerator sends for one token: two sums a layer (three with a cross-attention), 16-bit."""
    sums = 2 + (s.architecture.kind == "encoder-decoder")
    around = 2 * (s.accelerators - 1) / s.accelerators  # a ring scatters, then gathers
    return sums * layers * s.architecture.width * count.SIXTEEN_BIT_BYTES * around


def _lengths(s: Serving, outputs: float) -> tuple[int, int]:
    """Tokens in the decoder's cache after so many output tokens, and of the source."""
    both = s.architecture.kind == "encoder-decoder"
    before, source = (count.START_TOKENS, s.prompt_tokens) if both else (s.prompt_tokens, 0)
    return before + round(outputs), source


def _prefill_weights_bytes(s: Serving) -> float:
    """What one prefill reads: all matrices once, of experts those that the prompt's tokens visit."""
    if s.architecture.kind != "decoder":
        return count.served_weights_bytes(s.architecture, s.weight_precision)
    tokens = s.prefill_sequences * s.prompt_tokens
    return float(count.decode_weights_bytes(s.architecture, tokens, s.weight_precision))


def _decode_work(s: Serving) -> dict[str, float]:
    steps = s.decode_steps
    if steps == 0:
        names = ("decode_matrices_flop", "decode_scores_flop", "decode_weights_bytes", "decode_cache_bytes")
        return dict.fromkeys(names, 0.0)
    a = s.architecture
    if not s.cache:
        first = count.prefill_flop(a, s.prompt_tokens)
        repeated = count.generation_flop(a, s.prompt_tokens, s.output_tokens, cache=False) - first
        tokens = s.batch_sequences * _lengths(s, s.output_tokens / 2)[0]
        return {
            "decode_matrices_flop": repeated / steps,
            "decode_scores_flop": 0.0,
            "decode_weights_bytes": float(count.decode_weights_bytes(a, tokens, s.weight_precision)),
            "decode_cache_bytes": 0.0,
        }
    before, source = _lengths(s, 0)
    parts = count.decode_run_parts(a, before, steps, source)
    scores = sum(parts[part] for part in SCORES)
    middle = before + (steps + 1) / 2  # the mean context of the steps; exact but for windows that fill on the way
    per_sequence = count.cache_bytes(a, round(middle), source, s.cache_precision)
    return {
        "decode_matrices_flop": (sum(parts.values()) - scores) / steps,
        "decode_scores_flop": scores / steps,
        "decode_weights_bytes": float(count.decode_weights_bytes(a, s.batch_sequences, s.weight_precision)),
        "decode_cache_bytes": per_sequence * cache_copies(s),
    }
