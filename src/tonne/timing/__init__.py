"""How long the work takes on given hardware."""
