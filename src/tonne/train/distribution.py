"""The processes that train together, started by torchrun; one alone is the same code with nothing to agree on.

Small numbers (counts of tokens, losses, the wish to stop) are agreed on through the processors in double precision, so
that what is logged does not depend on who computed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from torch.distributed import ReduceOp

Sharding = Literal["none", "zero-2", "zero-3"]
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    ranks: int = 1
    ranks_here: int = 1
    device: torch.device = PROCESSOR

    @property
    def first(self) -> bool:
        """Whether this one writes, and speaks, for all."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Each of some numbers, added over the processes."""
        return self._agreed(values, "SUM")

    def largest(self, values: Sequence[float]) -> list[float]:
        """Each of some numbers, the largest of any process."""
        return self._agreed(values, "MAX")

    def _agreed(self, values: Sequence[float], how: str) -> list[float]:
        if self.ranks == 1:
            return list(values)
        from torch import distributed  # noqa: PLC0415 - a single process starts without it

        operation: ReduceOp.RedOpType = getattr(distributed.ReduceOp, how)
        held = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(held, operation)
        return held.tolist()

    def wait(self) -> None:
        """Until all processes have come so far."""
        self.largest([0.0])

    def told(self, value: Any) -> Any:  # noqa: ANN401 - whatever can be pickled
        """What the first process says."""
        if self.ranks == 1:
            return value
        from torch import distributed  # noqa: PLC0415 - as above

        held = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]


@contextmanager
def processes(device: str | None = None) -> Iterator[Processes]:
    """This process among those that torchrun started, connected until the end of the block.

    Args:
        device: "cpu", "cuda", ...; left out: an accelerator where there is one.
    """
    kind = device or _best_device()
    if not launched_together():
        yield Processes(device=torch.device(kind))
        return
    from torch import distributed  # noqa: PLC0415 - as above

    mine = not distributed.is_initialized()
    local = distributed.get_node_local_rank()
    where = torch.device(kind) if kind == "cpu" else torch.device(kind, local)
    if kind != "cpu":
        torch.accelerator.set_device_index(local)
    if mine:
        distributed.init_process_group("gloo" if kind == "cpu" else f"cpu:gloo,{kind}:nccl")
    try:
        ranks = distributed.get_world_size()
        alone = Processes(rank=distributed.get_rank(), ranks=ranks, device=where)
        here = int(alone.largest([local])[0]) + 1
        together = Processes(rank=alone.rank, ranks=ranks, ranks_here=here, device=where)
        yield together
        together.wait()  # none leaves while another still talks to it
    finally:
        if mine:
            distributed.destroy_process_group()


def launched_together() -> bool:
    """Whether torchrun started this process, alone or with others."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _best_device() -> str:
    """Kind of the accelerator that torch sees, or the processor."""
    return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"  # type: ignore[union-attr]


def distributed_module(
    module: nn.Module, processes: Processes, *, sharding: Sharding = "none", unused: bool = False
) -> nn.Module:
    """The module with gradients averaged over the processes, whole on each or sharded.

    Args:
        module: What is called in training; its parameters lie on the device already.
        processes: Those that share the work.
        sharding: none: every process holds all (DDP). zero-2: gradients and optimizer states are shared out, weights
            are gathered once a step. zero-3: weights are gathered layer by layer, forward and backward (FSDP2).
        unused: Whether some parameters get no gradient.
    """
    if sharding != "none":
        return _sharded(module, processes, reshard=sharding == "zero-3")
    if processes.ranks == 1:
        return module
    from torch.nn.parallel import DistributedDataParallel  # noqa: PLC0415 - as above

    return DistributedDataParallel(module, find_unused_parameters=unused, broadcast_buffers=False)


def _sharded(module: nn.Module, processes: Processes, *, reshard: bool) -> nn.Module:
    """FSDP2: each layer a unit of its own, the tables together the last one."""
    from torch import distributed  # noqa: PLC0415 - as above
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415 - as above
    from torch.distributed.fsdp import fully_shard  # noqa: PLC0415 - as above

    if not distributed.is_initialized():
        raise DescriptionError(
            "[parallelism] sharding shares a model out over processes, but this is one alone. Start the run with "
            "torchrun --nproc-per-node N -m tonne train ..., or leave sharding out."
        )
    mesh = init_device_mesh(processes.device.type, (processes.ranks,))
    for layers in outer_lists(module):
        for layer in layers:
            fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
    return module


def outer_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """Lists of layers that lie in no other list."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from outer_lists(child)


def gathering(module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Around the work on one micro-batch: gradients go to the other processes with the last one alone."""
    set_sync = getattr(module, "set_requires_gradient_sync", None)
    if set_sync is not None:
        set_sync(last)
        return nullcontext()
    no_sync = getattr(module, "no_sync", None)
    return nullcontext() if last or no_sync is None else no_sync()


def share_out(module: nn.Module) -> None:
    """Give back weights that were gathered: after a look at them without gradients nothing else does."""
    for part in module.modules():
        reshard = getattr(part, "reshard", None)
        if reshard is not None:
            reshard()
