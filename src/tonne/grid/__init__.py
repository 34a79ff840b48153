"""WHEN: carbon intensity of grids over time."""
