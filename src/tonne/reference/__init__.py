"""Numbers from the world, each row with its source."""
