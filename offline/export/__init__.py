"""From trained arrays to what runs live: ONNX files, parity checks, model bundles."""
