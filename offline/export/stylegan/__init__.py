"""StyleGAN3 and StyleGAN-XL as ONNX files, written node by node for speed in ONNX Runtime.

`formulation` says in which of several equal ways; `phase_planes` plans a layer's sampling (no ONNX);
`activation_graph`, `layer_graph`, `input_graph` and `mapping_graph` write its parts with a `graph_writer`; `model` puts
them together; `parity` compares with torch; `directory` writes what `b2g-offline export-generator` leaves behind.
"""
