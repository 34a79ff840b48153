"""HOW LONG: step time, goodput, duration."""
