"""Stress and soak: much of everything, for long, and every item accounted for. ``python -m tests.soak`` runs it."""
