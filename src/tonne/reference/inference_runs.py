"""Published measurements of inference: what a model of time and energy of use is held against.

Phases: `decode` times only steps that make tokens; `prefill` only the prompt; `request` one fixed batch from its first
prompt token to its last output token; `mixed` a server where prompts and answers of many requests share the steps.

Gates: `use` has all that is needed to compute it anew (model, accelerator, precision, lengths, batch or "as many as
fit"); `shown` lacks one of these or is known to be slowed by something else, and the note says which; `out` is not
comparable. A recalled row never has `use`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.table import Row, number, table, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceRun:
    """One row of inference_runs.csv; None where the source does not say.

    Attributes:
        source: Key of sources.csv.
        preset: Id of architectures.csv, empty where none fits.
        accelerator: Id of accelerators.csv, empty where it is not known; `accelerator_name` is as printed.
        accelerators: All cards of the system; `tensor` of them share each layer.
        phase: "decode", "prefill", "request" or "mixed".
        weights_gib: Size of the weights as printed [GiB].
        prompt_tokens: Tokens of the prompt, or already in the cache where the phase is "decode".
        batch_sequences: Sequences worked on at once (a mean may be broken); None: as many as fit, or not known.
        tokens_per_s: Of the whole system, not of one card; what is counted stands in `tokens_kind`.
        tokens_kind: "output", "total" or "prompt".
        energy_j_per_output_token: Within `power_boundary`, prompts included unless the phase is "decode" [J].
        power_boundary: "accelerators", "server" or "facility"; empty where no energy is given.
        gate: "use", "shown" or "out".
        verification: "read" in the source at `url`, or "recalled".
    """

    id: str
    source: str
    url: str
    locator: str
    retrieved: str
    model: str
    preset: str
    accelerator_name: str
    accelerator: str
    accelerators: int | None
    tensor: int | None
    phase: str
    weight_precision: str
    weights_gib: float | None
    prompt_tokens: float | None
    output_tokens: float | None
    batch_sequences: float | None
    tokens_per_s: float | None
    tokens_kind: str
    ttft_s: float | None
    time_per_output_token_s: float | None
    energy_j_per_output_token: float | None
    energy_j_per_request: float | None
    power_boundary: str
    engine: str
    engine_version: str
    gate: str
    verification: str
    basis: str
    licence: str
    note: str


@cache
def inference_runs() -> tuple[InferenceRun, ...]:
    """Every published measurement of inference, in the table's order."""
    return tuple(_run(row) for row in table("inference_runs"))


def _run(row: Row) -> InferenceRun:
    return InferenceRun(
        id=row["id"],
        source=row["source"],
        url=row["url"],
        locator=row["locator"],
        retrieved=row["retrieved"],
        model=row["model"],
        preset=row["preset"],
        accelerator_name=row["accelerator_name"],
        accelerator=row["accelerator"],
        accelerators=whole(row["accelerators"]),
        tensor=whole(row["tensor"]),
        phase=row["phase"],
        weight_precision=row["weight_precision"],
        weights_gib=number(row["weights_gib"]),
        prompt_tokens=number(row["prompt_tokens"]),
        output_tokens=number(row["output_tokens"]),
        batch_sequences=number(row["batch_sequences"]),
        tokens_per_s=number(row["tokens_per_s"]),
        tokens_kind=row["tokens_kind"],
        ttft_s=number(row["ttft_s"]),
        time_per_output_token_s=number(row["time_per_output_token_s"]),
        energy_j_per_output_token=number(row["energy_j_per_output_token"]),
        energy_j_per_request=number(row["energy_j_per_request"]),
        power_boundary=row["power_boundary"],
        engine=row["engine"],
        engine_version=row["engine_version"],
        gate=row["gate"],
        verification=row["verification"],
        basis=row["basis"],
        licence=row["licence"],
        note=row["note"],
    )
