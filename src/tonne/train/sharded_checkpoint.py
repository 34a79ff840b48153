"""Checkpoints of a model that is laid out over processes: each writes its part, any number of processes reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, distributed
from torch.distributed.checkpoint import filesystem, state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException

from tonne.train.checkpoint import complete, rotate, writing

if TYPE_CHECKING:
    from tonne.train.checkpoint import Checkpoint
    from tonne.train.distribution import Processes


def save_sharded(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], processes: Processes, keep: int
) -> None:
    """Write a checkpoint of which every process writes its part; all must see the folder.

    Raises:
        CheckpointError: The disk is full, or cannot be written; older checkpoints stay.
    """
    if not processes.first:
        _write_part(processes.told(None), tensors)
        processes.wait()
        return
    with writing(folder, step) as partial:
        _write_part(processes.told(None if partial is None else str(partial)), tensors)
        if partial is not None:
            complete(partial, step, state)
    rotate(folder, keep)
    processes.wait()


def _write_part(target: str | None, tensors: Mapping[str, Tensor]) -> None:
    """This process's part of a checkpoint; nothing where there is one already."""
    if target is None:
        return
    try:
        state_dict_saver.save(dict(tensors), checkpoint_id=target)
    except CheckpointException as error:  # no Exception: it would pass every handler on its way out
        raise OSError("; ".join(str(part[0]) for part in error.failures.values())) from None


def names_in(checkpoint: Checkpoint) -> Iterable[str]:
    """Names of the tensors of a sharded checkpoint."""
    return filesystem.FileSystemReader(checkpoint.folder).read_metadata().state_dict_metadata


def read_sharded(checkpoint: Checkpoint, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a sharded checkpoint, as the wanted ones are laid out (``state.wanted_of``)."""
    state_dict_loader.load(wanted, checkpoint_id=checkpoint.folder, no_dist=not distributed.is_initialized())
    return wanted
