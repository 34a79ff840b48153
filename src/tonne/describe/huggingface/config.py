"""One config.json: its values, the defaults of its model type, and the class that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from tonne.errors import DescriptionError, PlanFileError
from tonne.reference.huggingface import default_values

Head = Literal[
    "base",
    "encoder",
    "causal-lm",
    "masked-lm",
    "pre-training",
    "next-sentence",
    "seq2seq",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "double-heads",
]
HEAD_OF_ENDING: Mapping[str, Head] = MappingProxyType(
    {
        "DoubleHeadsModel": "double-heads",
        "EncoderModel": "encoder",
        "LMHeadModel": "causal-lm",
        "ForCausalLM": "causal-lm",
        "ForMaskedLM": "masked-lm",
        "ForPreTraining": "pre-training",
        "ForNextSentencePrediction": "next-sentence",
        "ForConditionalGeneration": "seq2seq",
        "MTModel": "seq2seq",
        "ForSequenceClassification": "sequence-classification",
        "ForTokenClassification": "token-classification",
        "ForQuestionAnswering": "question-answering",
        "ForMultipleChoice": "multiple-choice",
        "Model": "base",
    }
)  # the first ending that fits, in this order
DEFAULT_LABELS = 2  # transformers' PretrainedConfig
OWN_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "num_hidden_layers": ("encoder_layers", "num_layers", "n_layers", "n_layer"),
        "hidden_size": ("d_model", "n_embd", "dim"),
        "num_attention_heads": ("num_heads", "n_heads", "n_head"),
    }
)  # names that transformers gives all types -> those that a type has in their place
LONGEST_SHOWN = 60
LARGEST = 10**12
MOST_LAYERS = 10**5

ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu": "gelu",
        "gelu_new": "gelu",
        "gelu_fast": "gelu",
        "gelu_accurate": "gelu",
        "gelu_python": "gelu",
        "gelu_python_tanh": "gelu",
        "gelu_pytorch_tanh": "gelu",
        "gelu_10": "gelu",
        "quick_gelu": "gelu",
        "silu": "silu",
        "swish": "silu",
        "relu": "relu",
        "relu2": "relu2",
        "xielu": "xielu",
    }
)  # the names of transformers -> those of Architecture; approximations of one function are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a config.json says. A value that it leaves out is the default of its model type in transformers."""

    file: str
    model_type: str
    class_name: str | None
    given: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def value(self, *names: str) -> Any:  # noqa: ANN401 - whatever JSON held
        """The value under the first of these names that the file gives; else the default of the first known."""
        for values in (self.given, self.defaults):
            for name in names:
                if name in values:
                    return values[name]
        raise DescriptionError(
            f"{self.file}: {' or '.join(names)} is missing, and {self.model_type} has no default for it. "
            f"Add it to the file, or give the fields of [architecture] themselves."
        )

    def number(self, *names: str, least: int = 0, most: int = LARGEST) -> int:
        """A whole number, ``least`` or more, and not absurd."""
        value = self.value(*names)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or value < least or value != value // 1:
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {shown(value)} is not a whole number, {least} or more. "
                f"Mend it, e.g. {self._given(names)}: {self._example(names)}."
            )
        if value > most:
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {shown(value)} is more than {most:,}, beyond any model. "
                f"Mend it, e.g. {self._given(names)}: {self._example(names)}."
            )
        return int(value)

    def size(self, *names: str) -> int:
        """A whole number, 1 or more."""
        return self.number(*names, least=1)

    def layers(self, *names: str) -> int:
        """Layers of a stack, 1 or more; readers look at each of them."""
        return self.number(*names, least=1, most=MOST_LAYERS)

    def number_or_none(self, *names: str, least: int = 0) -> int | None:
        """A whole number, or None where the value is null or nobody gives one."""
        known = [name for name in names if name in self.given or name in self.defaults]
        return None if not known or self.value(*known) is None else self.number(*known, least=least)

    def real(self, *names: str) -> float:
        """A number above 0, and not absurd."""
        value = self.value(*names)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= LARGEST:
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {shown(value)} is not a number above 0. Mend it, or leave it out."
            )
        return float(value)

    def flag(self, *names: str) -> bool:
        """True or false."""
        value = self.value(*names)
        if not isinstance(value, bool):
            raise DescriptionError(f"{self.file}: {self._given(names)} = {shown(value)} is not true or false. Mend it.")
        return value

    def word(self, *names: str) -> str:
        """A string."""
        value = self.value(*names)
        if not isinstance(value, str):
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {shown(value)} is not a word in quotes. Mend it."
            )
        return value

    def activation(self, *names: str) -> str:
        """The activation's name in Architecture."""
        word = self.word(*names)
        if word not in ACTIVATIONS:
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {word!r} is not a known activation. Known: "
                f"{', '.join(ACTIVATIONS)}. Take the nearest of them: it changes no count."
            )
        return ACTIVATIONS[word]

    def divisor(self, number: int, *names: str, default: int) -> int:
        """A number that divides another, such as that of the key-value heads; ``default`` where it is null."""
        value = self.number_or_none(*names)
        value = default if value is None else value
        if not value or number % value:
            raise DescriptionError(
                f"{self.file}: {self._given(names)} = {value} does not divide {number}. Mend it: known to fit are "
                f"{', '.join(str(n) for n in range(1, number + 1) if number % n == 0)}."
            )
        return value

    @property
    def head(self) -> Head | None:
        """What the class that the file names puts on top; None where the file names no class.

        Raises:
            DescriptionError: The class has an ending that is not known.
        """
        if self.class_name is None:
            return None
        for ending, head in HEAD_OF_ENDING.items():
            if self.class_name.endswith(ending) and not (head == "base" and "For" in self.class_name):
                return head  # a ...ForRewardModel is none without a head
        raise DescriptionError(
            f"{self.file}: architectures names {self.class_name}, whose head is not known. Known are classes that end "
            f"in {', '.join(HEAD_OF_ENDING)}. Name the class whose weights you count, or leave architectures out."
        )

    def head_among(self, *known: Head) -> Head:
        """The head of the class; the first of ``known`` where the file names none.

        Raises:
            DescriptionError: The class's head is none of those that this model type is counted with.
        """
        head = self.head or known[0]
        if head not in known:
            raise DescriptionError(
                f"{self.file}: {self.class_name} ({head}) is not counted for {self.model_type}. Known here: "
                f"{', '.join(known)}. Name such a class in architectures, or give the fields of [architecture]."
            )
        return head

    @property
    def labels(self) -> int:
        """Rows of a classification head."""
        names = self.given.get("id2label")
        if isinstance(names, dict | list) and names:
            return len(names)
        return self.number_or_none("num_labels") or DEFAULT_LABELS

    def _given(self, names: tuple[str, ...]) -> str:
        """The name that the value was found under."""
        return next((n for values in (self.given, self.defaults) for n in names if n in values), names[0])

    def _example(self, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - a default, whatever it is
        return next((self.defaults[name] for name in names if isinstance(self.defaults.get(name), int)), 12)


def shown(value: Any) -> str:  # noqa: ANN401 - whatever JSON held
    """A value as the file writes it, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def read_config(path: str | Path) -> Config:
    """The config.json at a path, or in a folder.

    Raises:
        PlanFileError: There is none, or it is not JSON.
        DescriptionError: It names no model type.
    """
    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    return config_of(_json(file), file)


def _json(file: Path) -> Any:  # noqa: ANN401 - whatever JSON held
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise PlanFileError(
            f"{file} does not exist. Give a config.json of transformers, or the folder of one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanFileError(f"{file} cannot be read: {error}. Give a config.json of transformers.") from None
    except json.JSONDecodeError as error:
        raise PlanFileError(f"{file} is not JSON: {error}. Mend that line, or save the configuration again.") from None


def config_of(given: Any, file: Path) -> Config:  # noqa: ANN401 - whatever JSON held
    """What a file holds, with the defaults of its model type.

    Raises:
        DescriptionError: It names no model type.
    """
    if not isinstance(given, dict) or not isinstance(given.get("model_type"), str):
        raise DescriptionError(
            f"{file} names no model_type, so its fields have no meaning. Add it, e.g. "
            f'"model_type": "llama", or give the fields of [architecture] themselves.'
        )
    classes = given.get("architectures") or [None]
    if not isinstance(classes, list) or not isinstance(classes[0], str | None):
        raise DescriptionError(
            f"{file}: architectures = {classes!r} is not a list of class names. Write it as "
            f'"architectures": ["LlamaForCausalLM"], or leave it out.'
        )
    defaults = default_values(given["model_type"])
    return Config(
        file=str(file),
        model_type=given["model_type"],
        class_name=classes[0],
        given=_under_own_names(given, defaults, file),
        defaults=defaults,
    )


def _under_own_names(given: dict[str, Any], defaults: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What a file gives by the names that all model types share, under those of its own type too.

    Raises:
        DescriptionError: It gives one thing twice, and not the same.
    """
    found = dict(given)
    for shared, names in OWN_NAMES.items():
        own = next((name for name in names if name in defaults), None)
        if own is None or shared in defaults or shared not in given:
            continue
        if given.get(own, given[shared]) != given[shared]:
            raise DescriptionError(
                f"{file}: {own} = {shown(given[own])} and {shared} = {shown(given[shared])} name one thing. Keep one."
            )
        found[own] = given[shared]
    return found
