"""StyleGAN3 and StyleGAN-XL: one generator made of a mapping, an input and a list of layers.

`specification` says what a network is made of (no torch); `schedule` computes it from a handful of
numbers; `published` names the published ones; `filters` designs their low-pass filters; `mapping`,
`synthesis` and `generator` are the torch modules; `directory` stores one as safetensors and JSON.
"""
