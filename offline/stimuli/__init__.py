"""Stimuli: generators of pictures and the synthesis of stimulus sets.

`faces` is the procedural face renderer; `stylegan` the networks StyleGAN3 and StyleGAN-XL.
"""
