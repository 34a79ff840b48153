"""Accounts as text, charts and documents."""
