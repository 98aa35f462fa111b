"""Official StyleGAN3 and StyleGAN-XL checkpoints, read without executing anything in them.

The order of reading, one file each: `file_kind` (what is this file?), `bounded_reader` and `pickle_walk` (opcodes to
`nodes`, inert data), `allowed_names` (what G_ema may name), `plain_values`, `storage_payload`, `tensors` and `modules`
(nodes to numbers, tensors and a tree of modules), `module_numbers` and `generator_numbers` (that tree to a
specification), `published_arithmetic` (a check), `official` (all of it).
"""
