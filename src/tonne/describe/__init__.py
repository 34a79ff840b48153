"""What is trained, how, on what and where. Frozen, and no arithmetic beyond checks."""
