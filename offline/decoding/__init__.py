"""Decoders: from window features to latents; all fit and predict, parameters are plain arrays."""
