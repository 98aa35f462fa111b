"""The paper's decoding experiment again, on the simulated macaque: simulate, fit, evaluate, compare.

``plan`` says how much and from which seeds, ``responses`` simulates, ``decoding`` fits and scores, ``published`` holds
the paper's figures, ``claims`` says how near ours must be, ``experiment`` is the whole line, ``page`` and ``curves``
write it down.
"""
