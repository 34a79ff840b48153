"""What training a transformer language model takes and emits, before, during and after.

The public names are loaded when they are first used, so that `import tonne` costs nothing: no NumPy, no pydantic.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing, whose import would cost more than all of this file; type checkers read it as true

if TYPE_CHECKING:
    from tonne.account import Account as Account
    from tonne.describe.architecture import Architecture as Architecture
    from tonne.describe.hardware import Cluster as Cluster
    from tonne.describe.plan import TrainingPlan as TrainingPlan
    from tonne.describe.site import Site as Site
    from tonne.energy.use import EnergyUse as EnergyUse
    from tonne.errors import TonneError as TonneError
    from tonne.estimate import Basis as Basis
    from tonne.estimate import Estimate as Estimate
    from tonne.forecasting import Forecast as Forecast
    from tonne.forecasting import InferenceForecast as InferenceForecast
    from tonne.forecasting import forecast as forecast
    from tonne.forecasting import forecast_inference as forecast_inference
    from tonne.forecasting import forecast_many as forecast_many
    from tonne.measure.meter import track as track
    from tonne.model.module_count import count_module as count_module

__version__ = "0.1.0"

_HOME_OF = {
    "Account": "tonne.account",
    "Architecture": "tonne.describe.architecture",
    "Basis": "tonne.estimate",
    "Cluster": "tonne.describe.hardware",
    "EnergyUse": "tonne.energy.use",
    "Estimate": "tonne.estimate",
    "Forecast": "tonne.forecasting",
    "InferenceForecast": "tonne.forecasting",
    "Site": "tonne.describe.site",
    "TonneError": "tonne.errors",
    "TrainingPlan": "tonne.describe.plan",
    "count_module": "tonne.model.module_count",
    "forecast": "tonne.forecasting",
    "forecast_inference": "tonne.forecasting",
    "forecast_many": "tonne.forecasting",
    "track": "tonne.measure.meter",
}

__all__ = [  # noqa: RUF022  # constants, types, functions: the order in which one meets them
    "__version__",
    "Account",
    "Architecture",
    "Basis",
    "Cluster",
    "EnergyUse",
    "Estimate",
    "Forecast",
    "InferenceForecast",
    "Site",
    "TonneError",
    "TrainingPlan",
    "count_module",
    "forecast",
    "forecast_inference",
    "forecast_many",
    "track",
]


def __getattr__(name: str) -> object:
    """The public `name`, imported from its home on first use and kept."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tonne' has no attribute {name!r}. Public names: {', '.join(sorted(_HOME_OF))}.")
    try:
        value: object = getattr(import_module(home), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise ModuleNotFoundError(
            f"tonne.{name} needs torch, which is not installed. Run: pip install 'tonne[train]'", name="torch"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
