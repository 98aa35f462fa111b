"""Stimulus sets drawn by a generator: the paper's, and what lies between and beyond their pictures."""
