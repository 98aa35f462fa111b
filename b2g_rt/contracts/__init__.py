"""What both wings agree on: channels, samples, windows, bundles, messages, sessions.

Nothing here knows LSL, Qt, ONNX Runtime or torch.
"""
