"""What is trained, how, on what and where. Frozen descriptions; no arithmetic beyond checks."""
