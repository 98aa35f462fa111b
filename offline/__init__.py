"""The training wing: stimuli, features, encoding, decoding, evaluation and export (imports torch)."""
