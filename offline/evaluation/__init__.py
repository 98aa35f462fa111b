"""Metrics with their chance level and baselines, and the report that prints them."""
