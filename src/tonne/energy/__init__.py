"""How much energy the time takes."""
