"""A recursive filter that takes a fixed number of samples of many channels at once.

Output and next state are linear in input and state, so one small matrix, ``[output; state'] = M [input; state]``,
does a whole block in a matrix product, many times faster than sample by sample. Blocks always have the same shape:
what comes out does not depend on how the samples were chunked, to the last bit.
Pure numbers; used by ``envelope.py``.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


class BlockFilter:
    """One filter's matrix, and its resting states.

    Parameters
    ----------
    sos : float64, axes (section, 6)
    length : int
        Samples per block.
    keep : {'all', 'last'}
        Which output samples of a block are wanted.
    dtype : numpy dtype
        Of the arithmetic, float32 or float64.

    Attributes
    ----------
    matrix : axes (output + state, sample + state), C order
    n_outputs, n_states : int
    rest : axes (state,)
        State after a constant input of 1 since for ever.
    """

    def __init__(
        self,
        sos: NDArray[np.float64],
        length: int,
        keep: Literal["all", "last"],
        dtype: type[np.float32] | type[np.float64],
    ) -> None:
        from scipy import signal

        n_sections = len(sos)
        self.length = length
        self.n_states = 2 * n_sections
        self.n_outputs = length if keep == "all" else 1
        n = length + self.n_states
        matrix = np.zeros((self.n_outputs + self.n_states, n))
        # The matrix's columns are what single samples and single state variables lead to.
        for column in range(n):
            probe = np.zeros(n)
            probe[column] = 1.0
            output, state = signal.sosfilt(
                sos, probe[:length], zi=probe[length:].reshape(n_sections, 2)
            )
            matrix[: self.n_outputs, column] = output[length - self.n_outputs :]
            matrix[self.n_outputs :, column] = np.asarray(state).ravel()
        self.matrix: NDArray[Any] = np.ascontiguousarray(matrix.astype(dtype))
        self.rest: NDArray[Any] = np.asarray(signal.sosfilt_zi(sos)).ravel().astype(dtype)
