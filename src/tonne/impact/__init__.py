"""What the energy means: carbon, water, cost. Never silently summed."""
