"""How much work: exact integers, no hardware."""
