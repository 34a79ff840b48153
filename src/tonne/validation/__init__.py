"""Forecasts compared with what was published about the same runs."""
