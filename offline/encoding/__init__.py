"""Encoding, from stimulus to brain: which feature space predicts each electrode."""
