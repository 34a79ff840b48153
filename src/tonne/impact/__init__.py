"""WHAT IT MEANS: carbon, water, cost."""
