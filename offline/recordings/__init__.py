"""Recorded streams and what is computed from them: trials, statistics, window features."""
