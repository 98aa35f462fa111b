"""What was learnt is kept whole, and read without executing anything."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.adaptation.state_file import SavedCorrection, read_correction, write_correction
from b2g_rt.errors import SessionError


@pytest.fixture
def saved(rng) -> SavedCorrection:
    correction = rng.standard_normal((2, 5, 3)).astype(np.float32)
    return SavedCorrection(correction, np.array([4, 3]), {"bundle": "b" * 64, "n_trials": 4})


def test_it_comes_back_as_it_was_written(tmp_path, saved, rng):
    path = tmp_path / "today.adaptation.npz"
    write_correction(path, saved)
    back = read_correction(path)
    assert back.correction.tobytes() == saved.correction.tobytes()
    assert back.n_learnt.tolist() == [4, 3]
    assert back.provenance == saved.provenance
    features = rng.standard_normal(4).astype(np.float32)
    expected = features @ saved.correction[1, :4] + saved.correction[1, 4]
    np.testing.assert_allclose(back.predict(features, 1), expected, rtol=1e-5)
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_never_overwritten(tmp_path, saved):
    path = tmp_path / "today.adaptation.npz"
    path.write_bytes(b"precious")
    with pytest.raises(SessionError, match="never overwritten"):
        write_correction(path, saved)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["missing", "text", "pickle", "truncated", "wrong axes"])
def test_what_is_no_such_file_is_one_line(tmp_path, saved, kind):
    path = tmp_path / "x.npz"
    if kind == "text":
        path.write_text("no archive")
    elif kind == "pickle":
        np.savez(path, correction=np.array([{}], object), n_learnt=[1], provenance=np.array("{}"))
    elif kind == "truncated":
        write_correction(tmp_path / "whole.npz", saved)
        path.write_bytes((tmp_path / "whole.npz").read_bytes()[:200])
    elif kind == "wrong axes":
        np.savez(path, correction=np.zeros(3), n_learnt=np.zeros(3), provenance=np.array("{}"))
    with pytest.raises(SessionError) as caught:
        read_correction(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
