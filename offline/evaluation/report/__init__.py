"""The report of an evaluation: what was computed, drawn and written down, for ``b2g-offline evaluate --report``."""
