"""A plan: what is trained, how, on what, where. One TOML file."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from tonne.describe.architecture import Architecture
from tonne.describe.data import Data, Tokenizer, data_paths_from
from tonne.describe.given import as_given, given_of
from tonne.describe.hardware import Cluster
from tonne.describe.heads import with_task
from tonne.describe.inference import Inference
from tonne.describe.quantity import Multiplier, Positive, Share
from tonne.describe.run import Run
from tonne.describe.section import Section
from tonne.describe.site import Site
from tonne.describe.start import Start, Trained, origin_from, original_fields
from tonne.describe.task import Task
from tonne.describe.training import Training
from tonne.describe.workload import ModuleWork
from tonne.errors import DescriptionError, PlanFileError

EARLIEST_START, LATEST_START = 2000, 2100
Described = TypeVar("Described", bound=Section)


class Parallelism(Section):
    """How the work is laid out over the accelerators."""

    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)
    data: int = Field(default=1, ge=1)
    context: int = Field(default=1, ge=1)
    expert: int = Field(default=1, ge=1)
    virtual_pipeline_stages: int = Field(default=1, ge=1)
    sharding: Literal["none", "zero-1", "zero-2", "zero-3"] = "zero-1"
    sequence: bool | None = Field(
        default=None,
        description="tensor ranks share the sequence between the matrices; left out: as the framework does",
    )

    @property
    def accelerators(self) -> int:
        """Accelerators that the layout takes; experts live inside the data-parallel ranks."""
        return self.tensor * self.pipeline * self.data * self.context


class Software(Section):
    """The training stack."""

    framework: str = "unknown"
    released: str | None = None
    flash_attention: bool = True
    compile: bool | None = Field(
        default=None, description="element-wise work is fused by a compiler; left out: as the framework does"
    )
    graphed_step: bool = Field(default=False, description="the whole step is one CUDA graph, mixtures of experts too")
    dispatch: Literal["all-to-all", "fused"] | None = Field(
        default=None, description="exchanges with experts: plain, or by kernels such as DeepEP and HybridEP"
    )
    overlapped_experts: bool | None = Field(default=None, description="exchanges with experts run beside computing")
    expert_capacity: bool = Field(default=False, description="experts drop tokens above a capacity: shapes are fixed")
    low_precision_attention: bool = Field(default=False, description="attention in 8 bits too")


class MeasuredStep(Parallelism):
    """One step that was measured with the plan's model, chip and software, on another layout or scale."""

    seconds: float = Field(gt=0, description="time of one step, nothing lost between steps [s]")
    global_batch_sequences: int = Field(ge=1)
    micro_batch_sequences: int = Field(default=1, ge=1)
    recomputation: Literal["none", "selective", "full"] = "none"


class Schedule(Section):
    """When, and what share of the time is useful."""

    start: datetime | None = None
    goodput: Share | None = None
    accelerator_mtbf_h: Positive | None = None  # mean time between failures of one accelerator [h]
    restart_s: Positive | None = None  # until a run that failed steps again [s]
    checkpoint_s: Positive | None = None  # of one checkpoint, steps waiting [s]
    step_utilisation: Share | None = None
    accelerator_hours: Positive | None = None
    measured_step_s: float | None = Field(default=None, gt=0, description="of this very plan, measured [s]")
    measured_step: MeasuredStep | None = None
    development_multiplier: Multiplier | None = None

    @field_validator("start")
    @classmethod
    def _in_range(cls, start: datetime | None) -> datetime | None:
        if start is not None and not EARLIEST_START <= start.year <= LATEST_START:
            raise DescriptionError(
                f"start={start.isoformat()} is out of range. Give a date between {EARLIEST_START} and {LATEST_START}."
            )
        return start

    @model_validator(mode="after")
    def _one_speed(self) -> Schedule:
        speeds = ("step_utilisation", "accelerator_hours", "measured_step_s", "measured_step")
        given = [name for name in speeds if getattr(self, name) is not None]
        if len(given) > 1 and {"measured_step_s", "measured_step"} & set(given):
            raise DescriptionError(f"{' and '.join(given)} each say how fast it runs. Give one of them.")
        return self


class TrainingPlan(Section):
    """Architecture x data x training x parallelism x software x cluster x site x schedule."""

    name: str = "plan"
    architecture: Architecture | None = None
    data: Data | None = None
    tokenizer: Tokenizer | None = None
    workload: ModuleWork | None = None
    training: Training = Training()
    task: Task | None = None
    start: Start = Start()
    run: Run = Run()
    parallelism: Parallelism | None = None
    software: Software = Software()
    cluster: Cluster
    site: Site = Site()
    schedule: Schedule = Schedule()
    inference: Inference | None = None

    @property
    def trains(self) -> bool:
        """Whether a training run is described, and not the use of the model alone."""
        model = self.workload is not None or (self.architecture is not None and self.data is not None)
        return (model and self.cluster.accelerators is not None) or self.schedule.accelerator_hours is not None

    @classmethod
    def from_toml(cls, path: str | Path) -> TrainingPlan:
        """The plan in a TOML file.

        Raises:
            PlanFileError: The file is missing or is not TOML.
            DescriptionError: A field is unknown or out of range.
        """
        return cls.from_fields(plan_fields(path), origin=str(path))

    @classmethod
    def from_fields(cls, fields: dict[str, Any], *, origin: str = "the plan") -> TrainingPlan:
        """The plan described by nested fields, its faults told in one clear error.

        Raises:
            DescriptionError: A field is unknown or out of range; the text lists each fault.
        """
        return described(cls, fields, origin=origin)

    @model_validator(mode="before")
    @classmethod
    def _architecture_of_start(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file held
        return with_task(with_architecture_of_start(as_given(given)))

    @model_serializer(mode="wrap")
    def _with_given(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """All fields; a whole document says besides which of them were given."""
        fields: dict[str, Any] = handler(self)
        if info.mode != "json" or info.exclude_unset or info.exclude_defaults:
            return fields
        return {**fields, "given": given_of(self.model_dump(mode="json", exclude_unset=True))}

    @model_validator(mode="after")
    def _complete(self) -> TrainingPlan:
        if self.workload is not None:
            return self._with_workload()
        if self.inference is not None and self.architecture is not None:
            return self
        if self.schedule.accelerator_hours is None and (self.architecture is None or self.data is None):
            missing = " and ".join(f"[{n}]" for n in ("architecture", "data") if getattr(self, n) is None)
            raise DescriptionError(
                f"{missing} {'are' if ' and ' in missing else 'is'} missing. Describe the model and its data, or give "
                f"[schedule] accelerator_hours where the chip-hours are already known; of any other PyTorch module "
                f"give [workload], as tonne.count_module(module, example).plan_section(examples=...) returns it."
            )
        return self._with_accelerators()

    def _with_workload(self) -> TrainingPlan:
        """Checked: the work of a module stands alone."""
        if self.training.lora is not None or self.training.frozen_layers:
            raise DescriptionError(
                "[workload] holds FLOP that were counted of a module: freeze its parameters before they are counted, "
                "and leave lora and frozen_layers out."
            )
        both = " and ".join(f"[{n}]" for n in ("architecture", "data", "inference") if getattr(self, n) is not None)
        if both:
            raise DescriptionError(
                f"[workload] is given beside {both}. It takes the place of [architecture] and [data], and says nothing "
                f"of use: leave it out, or leave {both} out."
            )
        return self._with_accelerators()

    def _with_accelerators(self) -> TrainingPlan:
        """Checked: a run that the model of time has to time says on how many accelerators."""
        if self.schedule.accelerator_hours is None and self.cluster.accelerators is None:
            raise DescriptionError("[cluster] accelerators is missing. Say how many accelerators run, e.g. 1024.")
        return self

    @model_validator(mode="after")
    def _answers(self) -> TrainingPlan:
        if self.data is not None and self.data.answer_fraction < 1 and self.training.objective != "instruction":
            raise DescriptionError(
                f"data.answer_fraction={self.data.answer_fraction} has no meaning for training.objective="
                f"{self.training.objective!r}. Use objective = 'instruction', or leave answer_fraction out."
            )
        return self

    @model_validator(mode="after")
    def _layout(self) -> TrainingPlan:
        p, n = self.parallelism, self.cluster.accelerators
        if p is not None and n is not None and p.accelerators != n:
            raise DescriptionError(
                f"[parallelism] tensor={p.tensor} x pipeline={p.pipeline} x data={p.data} x context={p.context} = "
                f"{p.accelerators}, but [cluster] accelerators={n}. Make the product equal the number, "
                f"or leave [parallelism] out."
            )
        if p is not None:
            self._copies_and_experts(p)
        return self

    def _copies_and_experts(self, p: Parallelism) -> None:
        """Checked: every copy has a sequence, and only a model with experts shares them."""
        batch = self.training.global_batch_sequences
        if batch is not None and batch < p.data:
            raise DescriptionError(
                f"[parallelism] data={p.data} copies of the model, but [training] global_batch_sequences={batch}: "
                f"some would have no sequence. Make data at most {batch}, or the batch at least {p.data}."
            )
        a = self.architecture
        if p.expert > 1 and a is not None and a.experts is None and a.decoder_experts is None:
            raise DescriptionError(
                f"[parallelism] expert={p.expert}, but the model has no experts. Leave expert out, or add "
                f"[architecture.experts]."
            )


def plan_fields(path: str | Path) -> dict[str, Any]:
    """The nested fields of a plan file, paths in them taken from the folder it lies in.

    Raises:
        PlanFileError: The file is missing or is not TOML.
    """
    file = Path(path)
    try:
        fields = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanFileError(f"{file} does not exist. Give the path of a plan file (TOML).") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanFileError(f"{file} cannot be read: {error}. Give the path of a plan file (TOML, UTF-8).") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanFileError(f"{file} is not TOML: {error}. Mend that line; docs show a whole plan.") from None
    return paths_from(fields, file.parent)


def described(kind: type[Described], fields: dict[str, Any], *, origin: str) -> Described:
    """What nested fields describe, its faults told in one clear error.

    Raises:
        DescriptionError: A field is unknown or out of range; the text lists each fault.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(_fault(fault, kind) for fault in error.errors())
        raise DescriptionError(f"{origin}: {faults}") from None


def with_architecture_of_start(given: Any) -> Any:  # noqa: ANN401 - whatever the file held
    """Where no architecture is given, that of the model training starts from."""
    if not isinstance(given, dict) or given.get("architecture") is not None:
        return given
    start = given.get("start")
    origin = start.get("from", start.get("origin")) if isinstance(start, dict) else getattr(start, "origin", None)
    if isinstance(origin, dict) and isinstance(origin.get("train"), str):
        origin = Trained(train=origin["train"])
    if isinstance(origin, Trained):
        return {**given, "architecture": with_architecture_of_start(plan_fields(origin.train)).get("architecture")}
    if not isinstance(origin, str) or origin == "scratch":
        return given
    return {**given, "architecture": original_fields(origin)}


def paths_from(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields of a plan file with the paths in them taken from the folder that the file lies in."""
    fields = data_paths_from(fields, folder)
    start = fields.get("start")
    if isinstance(start, dict) and "from" in start:
        fields = {**fields, "start": {**start, "from": origin_from(start["from"], folder)}}
    section = fields.get("architecture")
    if not isinstance(section, dict) or not isinstance(section.get("huggingface"), str):
        return fields
    return {**fields, "architecture": {**section, "huggingface": str(folder / section["huggingface"])}}


def _fault(fault: Any, kind: Any) -> str:  # noqa: ANN401 - pydantic's error dictionary
    """One fault of a plan as a sentence."""
    where = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{where} is not a field. {_known_fields(fault['loc'], kind)}"
    if where == "data.tokens" and fault["type"] == "missing":
        return (
            "data.tokens is missing. Say how many tokens enter the model, e.g. tokens = 300e9; of a fine-tuning that "
            "counts epochs tonne finetune prints it before the first step."
        )
    given = fault.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
    return f"{where}: {message}{shown}" if where else f"{message}"


def _known_fields(location: tuple[str | int, ...], kind: Any) -> str:  # noqa: ANN401 - a class of sections
    """The fields that the section of a location knows."""
    model: Any = kind
    for part in location[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            return "Remove it, or see the documentation for the fields."
        model = next((t for t in _types(field.annotation) if hasattr(t, "model_fields")), None)
    if hasattr(model, "model_fields"):
        return f"Known here: {', '.join(field.alias or name for name, field in model.model_fields.items())}."
    return "Remove it."


def _types(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type expression
    """The members of a union, or the type itself."""
    return get_args(annotation) or (annotation,)
