"""The section ``[task]``: what a pre-trained model becomes, and which columns of its examples say so."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tonne.describe.section import Section
from tonne.errors import DescriptionError

TaskName = Literal[
    "translation",
    "summarisation",
    "classification",
    "pair-classification",
    "token-classification",
    "question-answering",
    "instruction",
    "continued",
]
Role = Literal[
    "source", "target", "text", "first", "second", "label", "tokens", "labels", "question", "context", "answers",
    "prompt", "answer",
]  # fmt: skip
Pooling = Literal["first", "last", "mean", "max"]
Weight = Annotated[float, Field(gt=0)]
INPUTS: dict[str, tuple[Role, ...]] = {  # what a model is given, by task
    "translation": ("source",),
    "summarisation": ("source",),
    "classification": ("text",),
    "pair-classification": ("first", "second"),
    "token-classification": ("tokens",),
    "question-answering": ("question", "context"),
    "instruction": ("prompt",),
    "continued": ("text",),
}
REFERENCE: dict[str, Role | None] = {  # and what it should say
    "translation": "target",
    "summarisation": "target",
    "classification": "label",
    "pair-classification": "label",
    "token-classification": "labels",
    "question-answering": "answers",
    "instruction": "answer",
    "continued": None,
}
WRITING = ("translation", "summarisation", "instruction")  # tasks whose answer is text that a decoder writes
LABELLING = ("classification", "pair-classification", "token-classification")


class Task(Section):
    """The section ``[task]``. What is left out follows from the name, the model or the examples.

    ``columns`` maps a role to the column that holds it; a role left out has the column of its own name. An
    encoder-decoder reads ``source_prefix`` and the input, and writes the target. A decoder reads ``prompt``, in which
    roles stand in braces ("German of {source}: "); left out, it is the prefix, the input and a line's end.
    Both write ``target_prefix`` before the target. A context that is too long for question answering is read in windows
    that share ``stride`` tokens.
    """

    name: TaskName
    columns: dict[Role, str] = Field(default={}, description="role = column; left out: the role's own name")
    metric: str | None = Field(default=None, description="what makes an evaluation the best; left out: the task's")
    source_prefix: str = Field(default="", description="text before the input")
    target_prefix: str = Field(default="", description="text before the target")
    prompt: str | None = Field(default=None, description="what a decoder reads, roles in braces")
    labels: tuple[str, ...] | None = Field(default=None, description="left out: those of the training examples")
    class_weights: Literal["balanced"] | dict[str, Weight] | None = Field(
        default=None, description="what an example of a label counts; balanced: labels count alike"
    )
    max_source_length: int | None = Field(default=None, ge=4, description="input [token]; left out: as [data]")
    max_target_length: int | None = Field(default=None, ge=2, description="target [token]; left out: as [data]")
    stride: int | None = Field(default=None, ge=0, description="tokens that two windows of a long context share")
    max_answer_length: int = Field(default=30, ge=1, description="question answering: longest answer [token]")
    pooling: Pooling | None = Field(
        default=None, description="what of a text's states tells its label; left out: first of an encoder, else last"
    )
    beams: int = Field(default=1, ge=1, description="of the search that writes; 1: greedy")

    @property
    def inputs(self) -> tuple[Role, ...]:
        """Roles of what the model is given."""
        return INPUTS[self.name]

    @property
    def reference(self) -> Role | None:
        """Role of what the model should say; None where text itself is learned."""
        return REFERENCE[self.name]

    @property
    def roles(self) -> tuple[Role, ...]:
        """All roles that an example has."""
        return self.inputs if self.reference is None else (*self.inputs, self.reference)

    @property
    def writes(self) -> bool:
        """Whether the answer is text that a decoder writes."""
        return self.name in WRITING

    def column(self, role: Role) -> str:
        """The column that holds a role."""
        return self.columns.get(role, role)

    @model_validator(mode="after")
    def _roles_of_the_task(self) -> Self:
        unknown = [role for role in self.columns if role not in self.roles]
        if unknown:
            raise DescriptionError(
                f"columns names {', '.join(unknown)}, which {self.name} does not have. Its roles: "
                f"{', '.join(self.roles)}."
            )
        return self

    @model_validator(mode="after")
    def _prompt_with_its_roles(self) -> Self:
        if self.prompt is None:
            return self
        if not self.writes:
            raise DescriptionError(f"prompt has no meaning for {self.name}, which writes nothing. Leave it out.")
        named = _fields_of(self.prompt)
        if sorted(set(named)) != sorted(self.inputs):
            wanted = ", ".join(f"{{{role}}}" for role in self.inputs)
            raise DescriptionError(
                f"prompt={self.prompt!r} names {', '.join(map(repr, named)) or 'no role'}. It must hold {wanted}; "
                f"write a brace that is meant as such twice."
            )
        return self

    @model_validator(mode="after")
    def _pooling_of_a_whole_text(self) -> Self:
        if self.pooling is not None and self.name not in ("classification", "pair-classification"):
            raise DescriptionError(f"pooling has no meaning for {self.name}, which labels no whole text. Leave it out.")
        return self

    @model_validator(mode="after")
    def _labels_where_there_are_some(self) -> Self:
        given = [name for name in ("labels", "class_weights") if getattr(self, name) is not None]
        if given and self.name not in LABELLING:
            raise DescriptionError(f"{' and '.join(given)} has no meaning for {self.name}. Leave it out.")
        if self.labels is not None:
            _check_labels(self.labels)
        if self.labels is not None and isinstance(self.class_weights, dict):
            unknown = sorted(set(self.class_weights) - set(self.labels))
            if unknown:
                raise DescriptionError(f"class_weights names {unknown}, but labels are {list(self.labels)}.")
        return self


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(set(labels)) < len(labels):
        raise DescriptionError(f"labels={list(labels)} names a label twice. Name each once.")
    if len(labels) < 2:
        raise DescriptionError(f"labels={list(labels)} leaves nothing to tell apart. Name at least two.")


def _fields_of(prompt: str) -> list[str]:
    """The names in braces of a template."""
    try:
        return [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
    except ValueError as error:
        raise DescriptionError(f"prompt={prompt!r} is no template: {error}. Write roles in braces.") from None


def task_name(given: Any) -> str | None:  # noqa: ANN401 - whatever the file held
    """The name of a section ``[task]``, checked or not."""
    name = given.get("name") if isinstance(given, dict) else getattr(given, "name", None)
    return name if isinstance(name, str) and name in INPUTS else None
