"""BEFORE: what a planned run will take."""

from tonne.forecasting.explain import explain
from tonne.forecasting.many import forecast_many
from tonne.forecasting.single import Forecast, forecast

__all__ = ["Forecast", "explain", "forecast", "forecast_many"]
