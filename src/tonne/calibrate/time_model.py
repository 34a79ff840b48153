"""Fits the coefficients of the step's time, and says how far it is off where it has not looked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tonne.calibrate.measured_steps import MeasuredStep
from tonne.errors import MissingPackageError
from tonne.reference.step_residuals import Stack, StepResidual, half_width
from tonne.reference.time_model import Fitted, Spread
from tonne.timing.step_time import step_time_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Rows = NDArray[np.intp]

LACKING = (
    "fitting needs SciPy and threadpoolctl, which are not installed. Install them with: pip install 'tonne[calibrate]'"
)
NOISE = 0.10  # log spread of a row about a model that is right: layouts re-measured a release later differ so
FAMILY_WEIGHT = -0.25  # a model of many rows counts more than one of few, but less than by its rows
# Where messages are just hidden the model has corners, and a fit that follows slopes stops at the first that it meets.
# So corners are rounded, ever less: under the widest one valley is left, under the narrowest no row moves by 1 %. Where
# two valleys are left under the narrowest, the second way down finds the other (decision 0117).
WAYS_DOWN = ((0.3, 0.1, 0.01), (0.05, 0.01))
NARROWEST = 0.01
ON_THE_WAY, AT_THE_END = 1e-6, 1e-13  # least relative gain of a step
MOST_EVALUATIONS = 500
TINY = 1e-30  # step of the slopes, along the imaginary axis: nothing is subtracted, so nothing is lost


class Problem:
    """The rows as arrays, and the coefficients that each takes."""

    def __init__(self, steps: Sequence[MeasuredStep], priors: Sequence[Fitted]) -> None:
        import numpy as np  # noqa: PLC0415 - only who fits pays for NumPy

        self.priors = tuple(priors)
        self.index = {prior.name: i for i, prior in enumerate(self.priors)}
        self.centre = np.log([prior.prior for prior in self.priors])
        self.spread = np.array([prior.prior_log_spread for prior in self.priors])
        self.least = np.log([prior.least for prior in self.priors])
        self.most = np.log([prior.most for prior in self.priors])
        self.figures = {name: np.array([float(s.situation[name]) for s in steps]) for name in steps[0].situation}
        self.left_open = {name: np.array([float(s.left_open[name]) for s in steps]) for name in steps[0].situation}
        self.roles = {role: np.array([self.index[s.roles[role][0]] for s in steps]) for role in steps[0].roles}
        self.measured = np.log([s.step_time_s for s in steps])
        rows = Counter(s.model for s in steps)
        self.weights = np.array([rows[s.model] ** FAMILY_WEIGHT for s in steps])

    def predicted(self, logs: Array, rows: Rows, *, left_open: bool = False, softness: float = 0.0) -> Array:
        """Logarithm of the step time of some rows (rows) under coefficients given as logarithms (coefficients).

        Many sets of coefficients (sets, coefficients) give (sets, rows).
        """
        import numpy as np  # noqa: PLC0415

        values = np.exp(logs)
        figures = {name: column[rows] for name, column in (self.left_open if left_open else self.figures).items()}
        coefficients = {name: values[..., i, None] for name, i in self.index.items() if "." not in name}
        coefficients |= {role: values[..., index[rows]] for role, index in self.roles.items()}
        found: Array = np.log(step_time_s(figures, coefficients, softness))
        return found

    def fit(self, rows: Rows) -> Array:
        """Coefficients, as logarithms, that serve some rows best: robust least squares with the priors as rows.

        Nothing is taken over from other fits, so the rows left out play no part.
        """
        try:
            from threadpoolctl import threadpool_limits  # noqa: PLC0415
        except ImportError:
            raise MissingPackageError(LACKING) from None
        with threadpool_limits(1):  # many small factorisations: threads only wait for one another
            bottoms = [self._way_down(rows, softnesses) for softnesses in WAYS_DOWN]
            lowest = min(bottoms, key=lambda logs: self._height(logs, rows))
            return self._descended(lowest, rows, NARROWEST, AT_THE_END)

    def _way_down(self, rows: Rows, softnesses: Sequence[float]) -> Array:
        """Where one comes from the priors, with corners rounded ever less."""
        logs: Array = self.centre
        for softness in softnesses:
            logs = self._descended(logs, rows, softness, ON_THE_WAY)
        return logs

    def _descended(self, start: Array, rows: Rows, softness: float, gain: float) -> Array:
        import numpy as np  # noqa: PLC0415

        try:
            from scipy.optimize import least_squares  # noqa: PLC0415
        except ImportError:
            raise MissingPackageError(LACKING) from None
        found: Array = least_squares(
            self._residuals,
            np.clip(start, self.least + 1e-6, self.most - 1e-6),
            jac=self._slopes,
            args=(rows, softness),
            bounds=(self.least, self.most),
            x_scale=self.spread,
            ftol=gain,
            xtol=gain,
            gtol=gain,
            max_nfev=MOST_EVALUATIONS,
        ).x
        return found

    def _height(self, logs: Array, rows: Rows) -> float:
        residuals = self._residuals(logs, rows, NARROWEST)
        return float(residuals @ residuals)

    def _residuals(self, logs: Array, rows: Rows, softness: float) -> Array:
        """Of the rows, far ones counted less, and of the priors."""
        import numpy as np  # noqa: PLC0415

        weights = self.weights[rows] / self.weights[rows].mean()
        far = (self.predicted(logs, rows, softness=softness) - self.measured[rows]) / NOISE * weights
        robust = far * np.sqrt(2 / (np.sqrt(1 + far * far) + 1))
        return np.concatenate([robust, (logs - self.centre) / self.spread], axis=-1)

    def _slopes(self, logs: Array, rows: Rows, softness: float) -> Array:
        """Of the residuals, (residuals, coefficients), exact to the last digits."""
        import numpy as np  # noqa: PLC0415

        aside = logs + 1j * TINY * np.eye(len(logs))
        found: Array = self._residuals(aside, rows, softness).imag.T / TINY
        return found

    def log_spreads(self, logs: Array) -> Array:
        """Standard deviations of the coefficients, from the curvature at the fit."""
        import numpy as np  # noqa: PLC0415

        rows = np.arange(len(self.measured))
        aside = logs + 1j * TINY * np.eye(len(logs))
        slopes = self.predicted(aside, rows, softness=NARROWEST).imag.T / TINY
        slopes *= (self.weights / self.weights.mean() / NOISE)[:, None]
        covariance = np.linalg.inv(slopes.T @ slopes + np.diag(1 / self.spread**2))
        return np.sqrt(np.diag(covariance))


def refitted(steps: Sequence[MeasuredStep], priors: Sequence[Fitted]) -> tuple[Fitted, ...]:
    """The coefficients fitted on all rows, with their spreads."""
    import numpy as np  # noqa: PLC0415

    problem = Problem(steps, priors)
    logs = problem.fit(np.arange(len(steps)))
    spreads = problem.log_spreads(logs)
    return tuple(
        Fitted(
            name=p.name,
            value=math.exp(log),
            log_spread=float(spread),
            prior=p.prior,
            prior_log_spread=p.prior_log_spread,
            least=p.least,
            most=p.most,
            meaning=p.meaning,
        )
        for p, log, spread in zip(problem.priors, logs, spreads, strict=True)
    )


def fitted_without(steps: Sequence[MeasuredStep], priors: Sequence[Fitted], source: str) -> dict[str, float]:
    """Coefficients by name from all rows but those of a source."""
    import numpy as np  # noqa: PLC0415

    problem = Problem(steps, priors)
    others = np.array([i for i, s in enumerate(steps) if s.source != source])
    return {p.name: math.exp(log) for p, log in zip(problem.priors, problem.fit(others), strict=True)}


def cross_validated(steps: Sequence[MeasuredStep], priors: Sequence[Fitted]) -> list[StepResidual]:
    """Predictions of every row: fitted, with its model left out (a known stack; and its software left open), with its
    source left out (unseen).
    """  # noqa: D205 - the list of predictions is the summary
    found = _predictions(steps, priors)
    return [
        StepResidual(
            id=s.id,
            source=s.source,
            model=s.model,
            kind=s.kind,
            precision=s.precision,
            family=s.family,
            accelerators=s.accelerators,
            sequence_length=s.sequence_length,
            measured_s=s.step_time_s,
            fitted_s=math.exp(found["fitted"][i]),
            known_s=math.exp(found["known"][i]),
            open_s=math.exp(found["open"][i]),
            unseen_s=math.exp(found["unseen"][i]),
        )
        for i, s in enumerate(steps)
    ]


def _predictions(steps: Sequence[MeasuredStep], priors: Sequence[Fitted]) -> dict[str, Array]:
    """Logarithms of what is said of each row, by stack."""
    import numpy as np  # noqa: PLC0415

    problem = Problem(steps, priors)
    everything = np.arange(len(steps))
    whole = problem.fit(everything)
    found = {stack: np.zeros(len(steps)) for stack in ("known", "open", "unseen")}
    found["fitted"] = problem.predicted(whole, everything)
    for stack, groups in (("known", [s.model for s in steps]), ("unseen", [s.source for s in steps])):
        names = np.array(groups)
        for group in sorted(set(groups)):
            left_out, others = everything[names == group], everything[names != group]
            logs = problem.fit(others)
            found[stack][left_out] = problem.predicted(logs, left_out)
            if stack == "known":
                found["open"][left_out] = problem.predicted(logs, left_out, left_open=True)
    return found


def spreads(rows: Sequence[StepResidual]) -> list[Spread]:
    """Half-widths by kind, precision and stack."""
    groups: dict[tuple[str, str], list[StepResidual]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    stacks: tuple[Stack, ...] = ("known", "open", "unseen")
    return [
        Spread(
            kind=kind,
            precision=precision,
            stack=stack,
            log_half_width=half_width(rows, (kind, precision), stack),
            rows=len(members),
        )
        for (kind, precision), members in sorted(groups.items())
        for stack in stacks
    ]
