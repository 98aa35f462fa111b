"""ONNX Runtime: the one room that knows it. Sessions, providers, the decoder and the generator."""
