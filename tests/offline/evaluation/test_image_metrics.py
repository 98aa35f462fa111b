"""Against published definitions written out: loops over windows, and torch's resizing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import PictureError
from offline.evaluation.image_metrics import pixel_correlation, resized, structural_similarity


def pictures(rng, n=3, rows=20, cols=20):
    """Smooth random pictures, so that no metric is at its floor."""
    coarse = rng.integers(0, 256, (n, rows // 4, cols // 4, 3))
    fine = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    return np.clip(fine + rng.normal(0, 20, fine.shape), 0, 255).astype(np.uint8)


def slow_ssim(x, y):
    """Wang et al. 2004 with its 11 x 11 window, at each place where it fits; the mean of all."""
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = 0.01**2, 0.03**2
    found = []
    for row in range(x.shape[0] - 10):
        for col in range(x.shape[1] - 10):
            a, b = x[row : row + 11, col : col + 11], y[row : row + 11, col : col + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            cov = (window * (a - ma) * (b - mb)).sum()
            top = (2 * ma * mb + c1) * (2 * cov + c2)
            found.append(top / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(found)


@pytest.mark.parametrize("side", [20, 33, 13], ids=["same", "larger", "smaller"])
def test_resizing_is_what_torch_does_to_tensors(rng, side):
    x = pictures(rng)
    tensor = torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    wanted = torch.nn.functional.interpolate(
        tensor, size=(side, side), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(
        resized(x, side), wanted.numpy().transpose(0, 2, 3, 1), rtol=0, atol=2e-6
    )


@pytest.mark.parametrize(("rows", "cols", "size"), [(20, 40, (30, 60)), (40, 20, (60, 30))])
def test_the_shorter_side_is_resized_and_the_shape_kept(rng, rows, cols, size):
    assert resized(pictures(rng, 1, rows, cols), 30).shape == (1, *size, 3)


def test_pixcorr_equals_numpy_on_the_resized_pictures(rng):
    a, b = pictures(rng), pictures(rng)
    found = pixel_correlation(a, b, side=31)
    for i in range(3):
        r = np.corrcoef(resized(a, 31)[i].ravel(), resized(b, 31)[i].ravel())[0, 1]
        assert found.values[i] == pytest.approx(r, abs=1e-9)
    assert "31 px" in found.preprocessing
    assert "425 px" in pixel_correlation(a[:1], b[:1]).preprocessing


def test_ssim_equals_its_definition(rng):
    a = pictures(rng, 2, 24, 24)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    found = structural_similarity(a, b, side=24)
    weights = np.array([0.2125, 0.7154, 0.0721])
    wanted = [slow_ssim(x / 255 @ weights, y / 255 @ weights) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(found.values, wanted, rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_picture_is_most_like_itself_and_likeness_is_mutual(seed):
    rng = np.random.default_rng(seed)
    a, b = pictures(rng, 2), pictures(rng, 2)
    for metric in (pixel_correlation, structural_similarity):
        np.testing.assert_allclose(metric(a, a, side=20).values, 1.0, atol=1e-6)
        one, other = metric(a, b, side=20).values, metric(b, a, side=20).values
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert (one < 1).all()
        assert (one >= -1).all()


def test_a_picture_of_one_grey_correlates_0_with_anything(rng):
    grey = np.full((1, 20, 20, 3), 77, np.uint8)
    assert pixel_correlation(grey, pictures(rng, 1)).values == pytest.approx(0.0, abs=1e-6)


def test_sets_of_two_sizes_are_compared_at_one(rng):
    a = pictures(rng, 2, 40, 40)
    smaller = np.round(255 * resized(a, 20)).astype(np.uint8)
    assert (pixel_correlation(smaller, a, side=20).values > 0.999).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda x: x[:2], "2 reconstructions of 3 stimuli"),
        (lambda x: x.astype(np.float32), "float32, axes"),
        (lambda x: x[..., 0], "expected uint8, axes"),
        (lambda x: x[:, :10], "expected the same shape"),
    ],
    ids=["number", "floats", "grey", "shape"],
)
def test_pictures_that_do_not_belong_together_are_refused_in_one_line(rng, change, line):
    x = pictures(rng)
    with pytest.raises(PictureError, match=line) as error:
        pixel_correlation(change(x), x, side=20)
    assert "\n" not in str(error.value)
