"""Work that was counted elsewhere: of a PyTorch module, by `tonne.count_module`."""

from __future__ import annotations

from pydantic import Field

from tonne.describe.section import Section


class ModuleWork(Section):
    """The section ``[workload]``: it takes the place of ``[architecture]`` and ``[data]``."""

    parameters: int = Field(ge=1, description="numbers of the module")
    training_flop_per_example: float = Field(gt=0, description="forward and backward, as executed [FLOP/example]")
    examples: float = Field(ge=1, description="examples that the whole run sees, epochs included")
    example_tokens: float | None = Field(default=None, gt=0, description="tokens of an example, where it has some")
    what: str | None = Field(default=None, description="the module, in words")
