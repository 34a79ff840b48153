"""What optimizers have in common: groups of parameters with a rate each, and a state for each parameter.

torch's own base class loads its compiler when the first optimizer is made, which takes longer than all the rest of a
small run's start; nothing here is ever compiled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


class GroupedOptimizer(ABC):
    """Groups as torch's optimizers have them: dictionaries with ``params``, ``lr`` and what else the kind asks for."""

    def __init__(self, groups: Iterable[Mapping[str, Any]], **defaults: Any) -> None:  # noqa: ANN401 - by kind
        self.param_groups: list[dict[str, Any]] = [
            {**defaults, **group, "params": list(group["params"])} for group in groups
        ]
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @abstractmethod
    def step(self) -> None:
        """Apply the gradients."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
