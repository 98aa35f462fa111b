from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.encoding.degrees_of_freedom import degrees_of_freedom, grid, lambda_of
from offline.encoding.kernel_ridge import decomposed, dual_weights, gcv
from offline.encoding.linear_ridge import decomposed_features, feature_gcv


def slow_lambda(eigenvalues, df):
    """Return the root of the defining equation, bisected with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        s = [Decimal(float(one)) for one in eigenvalues]
        low, high = Decimal(-200), Decimal(200)
        while high - low > Decimal("1e-30"):
            middle = (low + high) / 2
            lam = middle.exp()
            more = sum(one / (one + lam) for one in s) > Decimal(df)
            low, high = (middle, high) if more else (low, middle)
        return float(low.exp())


spectra = st.lists(st.floats(-12, 12), min_size=2, max_size=8).map(lambda e: 10.0 ** np.array(e))


@settings(max_examples=25, deadline=None)
@given(eigenvalues=spectra, share=st.floats(0.001, 0.999))
def test_a_lambda_solves_its_equation_as_bisection_with_60_digits_does(eigenvalues, share):
    df = share * len(eigenvalues)
    np.testing.assert_allclose(lambda_of(eigenvalues, df), slow_lambda(eigenvalues, df), rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(eigenvalues=spectra, share=st.floats(1e-6, 1 - 1e-6), scale=st.floats(1e-6, 1e6))
def test_lambda_goes_with_the_units_of_the_kernel(eigenvalues, share, scale):
    df = share * len(eigenvalues)
    lam = lambda_of(eigenvalues, df)
    np.testing.assert_allclose(degrees_of_freedom(eigenvalues, lam), df, rtol=1e-9)
    np.testing.assert_allclose(lambda_of(scale * eigenvalues, df), scale * lam, rtol=1e-6)


def test_the_grid_is_the_papers():
    eigenvalues = np.array([0.0, 1e-20, *np.geomspace(0.01, 100.0, 40)])
    found = grid(eigenvalues, rounding=1e-12)
    assert found.rank == 40
    np.testing.assert_allclose(found.df, [40, 30.25, 20.5, 10.75, 1])
    assert found.lambdas[0] == 0.0
    # Every df has its own lambda: shifted by one, as in the notebooks, none of these would hold.
    for df, lam in zip(found.df[1:], found.lambdas[1:], strict=True):
        np.testing.assert_allclose(lam, slow_lambda(eigenvalues[2:], df), rtol=1e-9)


@pytest.mark.parametrize("df", [0.0, 3.0, 4.0])
def test_degrees_of_freedom_that_no_lambda_has_are_refused(df):
    with pytest.raises(ValueError, match="expected more than 0 and less than 3"):
        lambda_of(np.array([0.0, 1.0, 2.0, 3.0]), df)


def test_a_kernel_of_rounding_has_no_grid():
    with pytest.raises(ValueError, match="no eigenvalue above rounding"):
        grid(np.array([1e-20, 1e-19]), rounding=1e-12)


def direct(kernel, y, df, lam):
    """Return the error by the hat matrix itself, per electrode, and its degrees of freedom."""
    n = len(y)
    hat = kernel @ np.linalg.pinv(kernel + lam * np.eye(n), rcond=1e-10, hermitian=True)
    rest = (y - hat @ y) / (1.0 - df / n)
    return np.square(rest).sum(axis=0), np.trace(hat)


@pytest.mark.parametrize("n_features", [12, 90], ids=["few", "many"])
def test_errors_are_those_of_explicit_hat_matrices(n_features, rng):
    n = 40
    x = rng.standard_normal((n, n_features))
    x -= x.mean(axis=0)
    y = x[:, :3] @ rng.standard_normal((3, 5)) + rng.standard_normal((n, 5))
    y -= y.mean(axis=0)
    basis = decomposed(x @ x.T, centred=True, dtype="float64")
    found, errors = gcv(basis, y)
    assert found.rank == min(n_features, n - 1)
    for i, (df, lam) in enumerate(zip(found.df, found.lambdas, strict=True)):
        error, trace = direct(x @ x.T, y, df, lam)
        np.testing.assert_allclose(trace, df, rtol=1e-8)
        if df == n - 1:
            # 0 / 0: least squares through every point.
            assert np.isinf(errors[i]).all()
            assert error.max() < 1e-9
        else:
            np.testing.assert_allclose(errors[i], error, rtol=1e-8)


def test_few_features_give_the_same_in_primal_and_in_dual_form(rng):
    x = rng.standard_normal((40, 12))
    x -= x.mean(axis=0)
    y = x[:, :3] @ rng.standard_normal((3, 5)) + rng.standard_normal((40, 5))
    y -= y.mean(axis=0)
    dual, errors = gcv(decomposed(x @ x.T, centred=True, dtype="float64"), y)
    primal, primal_errors = feature_gcv(decomposed_features(x), y)
    np.testing.assert_allclose(primal.lambdas, dual.lambdas, rtol=1e-9)
    np.testing.assert_allclose(primal_errors, errors, rtol=1e-9)


def test_degrees_of_freedom_that_are_the_rank_interpolate(rng):
    x = rng.standard_normal((15, 60))
    x -= x.mean(axis=0)
    y = rng.standard_normal((15, 4))
    y -= y.mean(axis=0)
    kernel = x @ x.T
    basis = decomposed(kernel, centred=True, dtype="float64")
    np.testing.assert_allclose(kernel @ dual_weights(basis, y, np.zeros(4)), y, atol=1e-10)
