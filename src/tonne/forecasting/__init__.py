"""BEFORE: what a planned run will take."""

from tonne.forecasting.explain import explain
from tonne.forecasting.explain_use import explain_inference
from tonne.forecasting.inference import InferenceForecast, forecast_inference
from tonne.forecasting.many import forecast_many
from tonne.forecasting.single import Forecast, forecast

__all__ = [
    "Forecast",
    "InferenceForecast",
    "explain",
    "explain_inference",
    "forecast",
    "forecast_inference",
    "forecast_many",
]
