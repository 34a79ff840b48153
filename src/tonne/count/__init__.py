"""How much work: exact counts that need an architecture and no hardware."""
