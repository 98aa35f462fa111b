from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from b2g_rt.contracts.windows import paper_windows, sliding_windows
from offline.evaluation.scores import KnownTrials, score
from offline.evaluation.table import print_scores


@pytest.mark.parametrize("spec", [paper_windows(), sliding_windows()], ids=["paper", "sliding"])
def test_the_report_fits_a_terminal_of_80_columns(rng, spec):
    n_windows = spec.n_windows if spec.anchor == "marker" else 1
    pool = rng.standard_normal((1200, 10)).astype(np.float32)
    known = KnownTrials(pool, np.arange(1200), pool.mean(0))
    decoded = np.repeat(-pool[:, None], n_windows, axis=1)
    scores = score(decoded, known, np.eye(2, 10, dtype=np.float32), ("light", "hair"))
    written = io.StringIO()
    print_scores(Console(width=80, file=written), scores, spec, "title")
    text = written.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "two-way of 1200" in text
    assert "chance .5" in text
    assert "light -1.00" in text
