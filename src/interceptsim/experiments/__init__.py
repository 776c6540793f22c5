"""Experiments: many runs of a scenario, set beside one another."""
