"""Where the numbers of a run go besides the screen: metrics.jsonl always, trackers where the plan names them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from tonne.errors import MissingPackageError

if TYPE_CHECKING:
    from tonne.describe.run import Logger

METRICS = "metrics.jsonl"
MODULE_OF = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


class Sink(Protocol):
    """Takes the columns of a logged step."""

    def write(self, step: int, columns: Mapping[str, Any]) -> None:
        """Keep the columns of a step."""

    def close(self) -> None:
        """Nothing more comes."""


class JsonLines:
    """metrics.jsonl: one object a line, forced out at once, so that a killed run has lost none."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, columns: Mapping[str, Any]) -> None:
        """One more line."""
        self._file.write(json.dumps({"step": step, **columns}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def cut_back(path: Path, step: int, belongs: Callable[[dict[str, Any]], bool]) -> None:
    """Leave of a file of lines what a run that was never stopped would have written up to a step.

    Lines after the checkpoint are written again; a line that a cut run wrote of its last step may belong to no
    uninterrupted one; and the last line of a killed run may be half a line.

    Args:
        path: The file; it need not be there.
        step: That of the checkpoint.
        belongs: Whether a line is one that an uninterrupted run writes.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
            stays = found["step"] <= step and belongs(found)
        except (ValueError, KeyError, TypeError):
            continue
        kept += [line + "\n"] if stays else []
    partial = path.with_suffix(".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)


def is_logged(step: int, log_every: int) -> bool:
    """Whether a step has a line: the first, and every so many."""
    return step == 1 or step % log_every == 0


class TensorBoard:
    """TensorBoard's event files, in ``tensorboard`` of the run's folder."""

    def __init__(self, module: Any, folder: Path) -> None:  # noqa: ANN401 - a module without types
        self._writer = module.SummaryWriter(log_dir=str(folder / "tensorboard"))

    def write(self, step: int, columns: Mapping[str, Any]) -> None:
        """One scalar a column."""
        for name, value in numbers_in(columns).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B, where its own settings say: WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, module: Any, folder: Path, name: str) -> None:  # noqa: ANN401 - as above
        self._run = module.init(project="tonne", name=name, dir=str(folder), resume="allow")

    def write(self, step: int, columns: Mapping[str, Any]) -> None:
        """One row."""
        self._run.log(numbers_in(columns), step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class MLflow:
    """A run of MLflow, in ``mlflow.db`` of the run's folder unless its own settings name a server."""

    def __init__(self, module: Any, folder: Path, name: str) -> None:  # noqa: ANN401 - as above
        self._module = module
        if not module.is_tracking_uri_set():
            module.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        module.set_experiment("tonne")
        module.start_run(run_name=name)

    def write(self, step: int, columns: Mapping[str, Any]) -> None:
        """One value a column."""
        self._module.log_metrics(numbers_in(columns), step=step)

    def close(self) -> None:
        """End the run."""
        self._module.end_run()


def sinks_of(names: Sequence[Logger], folder: Path, run_name: str) -> list[Sink]:
    """metrics.jsonl and the trackers that a plan names.

    Raises:
        MissingPackageError: One is not installed.
    """
    modules = trackers(names)
    made: list[Sink] = [JsonLines(folder / METRICS)]
    for name, module in modules.items():
        if name == "tensorboard":
            made.append(TensorBoard(module, folder))
        else:
            made.append((WeightsAndBiases if name == "wandb" else MLflow)(module, folder, run_name))
    return made


def trackers(names: Sequence[Logger]) -> dict[Logger, ModuleType]:
    """The packages of the trackers that a plan names.

    Raises:
        MissingPackageError: One is not installed.
    """
    return {name: _module_of(name) for name in names}


def _module_of(name: Logger) -> ModuleType:
    """The package of a tracker."""
    try:
        return import_module(MODULE_OF[name])
    except ImportError as error:
        raise MissingPackageError(
            f"[run] loggers names {name}, which cannot be loaded: {error}. Run: pip install 'tonne[{name}]', or leave "
            f"it out."
        ) from None


def numbers_in(columns: Mapping[str, Any]) -> dict[str, float]:
    """The columns that a chart can show."""
    return {name: float(value) for name, value in columns.items() if isinstance(value, int | float)}
