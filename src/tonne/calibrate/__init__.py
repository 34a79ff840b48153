"""Fits coefficients from measured rows; `python -m tonne.calibrate` writes them to the table."""
