"""The recursive solution is the batch solution, stays bounded, and knows nothing of the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.adaptation.online_ridge import OnlineRidge, added

N_CHANNELS, N_LATENTS, PRIOR = 12, 5, 3.0


def made_trials(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((N_CHANNELS, N_CHANNELS))
    features = (rng.standard_normal((n, N_CHANNELS)) @ mixing).astype(np.float32)
    weights = rng.standard_normal((N_CHANNELS, N_LATENTS))
    residual = features @ weights + 0.7 + rng.standard_normal((n, N_LATENTS))
    return features, residual.astype(np.float32)


def batch(features: np.ndarray, residual: np.ndarray, kept: list[float]) -> np.ndarray:
    """Solve the weighted ridge problem of the module's header at once, float64."""
    x = np.column_stack([features.astype(np.float64), np.ones(len(features))])
    later = np.append(np.cumprod(kept[::-1])[::-1], 1.0)
    prior, weight = later[0] * PRIOR, later[1:]
    gram = (x * weight[:, None]).T @ x + prior * np.eye(x.shape[1])
    return np.linalg.solve(gram, (x * weight[:, None]).T @ residual.astype(np.float64))


def ridge(forgetting: float = 1.0, prior: float = PRIOR) -> OnlineRidge:
    return OnlineRidge(N_CHANNELS, N_LATENTS, prior=prior, forgetting=forgetting)


@pytest.mark.parametrize("forgetting", [1.0, 0.995, 0.9])
@pytest.mark.parametrize("n", [1, 7, 60, 3000])
def test_trial_by_trial_it_is_the_solution_of_all_trials_at_once(forgetting, n):
    features, residual = made_trials(n, seed=n)
    online = ridge(forgetting)
    kept = [online.learn(x, r) for x, r in zip(features, residual, strict=True)]
    expected = batch(features, residual, kept)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(online.correction, expected, atol=1e-6 * scale, rtol=0)
    assert online.n_learnt == n


def test_forgetting_is_as_asked_once_the_trials_outweigh_the_prior():
    features = np.random.default_rng(4).standard_normal((200, N_CHANNELS)).astype(np.float32)
    residual = np.zeros((200, N_LATENTS), np.float32)
    online = ridge(0.98)
    kept = [online.learn(x, r) for x, r in zip(features, residual, strict=True)]
    assert kept[0] == 1.0
    assert kept[-1] == 0.98


@pytest.mark.parametrize("forgetting", [0.9, 0.999])
def test_quiet_features_never_let_the_gain_grow_beyond_the_prior(forgetting):
    online = ridge(forgetting)
    bound = (N_CHANNELS + 1) / PRIOR
    rng = np.random.default_rng(5)
    residual = np.ones(N_LATENTS, np.float32)
    for i in range(4000):
        # One direction only, and for a thousand trials nothing at all.
        features = np.zeros(N_CHANNELS, np.float32)
        features[0] = 0.0 if 1000 < i < 2000 else rng.standard_normal()
        online.learn(features, residual)
    p = online.state().p
    assert np.array_equal(p, p.T)
    eigenvalues = np.linalg.eigvalsh(p)
    assert eigenvalues.min() > 0
    assert eigenvalues.max() <= bound * (1 + 1e-9)
    assert np.isfinite(online.correction).all()


def test_before_anything_is_learnt_nothing_is_added():
    features, _ = made_trials(1, seed=6)
    assert np.array_equal(ridge().predict(features[0]), np.zeros(N_LATENTS, np.float32))


def test_a_stronger_prior_holds_on_to_the_fixed_decoder():
    features, residual = made_trials(100, seed=7)
    size = []
    for prior in (1.0, 1e3, 1e6):
        online = ridge(prior=prior)
        for x, r in zip(features, residual, strict=True):
            online.learn(x, r)
        size.append(float(np.linalg.norm(online.correction)))
    assert size[0] > 2 * size[1] > 100 * size[2] > 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    now=st.integers(0, 20),
    forgetting=st.sampled_from([1.0, 0.97]),
    scale=st.floats(-100, 100),
)
def test_what_comes_later_changes_nothing_that_was_predicted_before(seed, now, forgetting, scale):
    features, residual = made_trials(24, seed)
    changed = residual.copy()
    changed[now:] = changed[now:] * np.float32(scale) + 1
    later = features.copy()
    later[now + 1 :] *= np.float32(scale)

    def predicted(x: np.ndarray, r: np.ndarray) -> np.ndarray:
        online, out = ridge(forgetting), []
        for one, target in zip(x, r, strict=True):
            out.append(online.predict(one))
            online.learn(one, target)
        return np.stack(out)

    a, b = predicted(features, residual), predicted(later, changed)
    # Its own target included: trial ``now`` is predicted before it is learnt.
    assert a[: now + 1].tobytes() == b[: now + 1].tobytes()


def test_a_restored_state_predicts_and_learns_as_it_did():
    features, residual = made_trials(40, seed=8)
    online = ridge(0.99)
    for x, r in zip(features[:20], residual[:20], strict=True):
        online.learn(x, r)
    state = online.state()

    def rest() -> bytes:
        out = []
        for x, r in zip(features[20:], residual[20:], strict=True):
            out.append(online.predict(x))
            online.learn(x, r)
        return np.stack(out).tobytes()

    first = rest()
    online.restore(state)
    assert online.n_learnt == 20
    assert rest() == first


def test_all_forgotten_it_is_as_new():
    features, residual = made_trials(10, seed=9)
    online, new = ridge(), ridge()
    for x, r in zip(features, residual, strict=True):
        online.learn(x, r)
    online.forget_all()
    for x, r in zip(features, residual, strict=True):
        online.learn(x, r)
        new.learn(x, r)
    assert online.correction.tobytes() == new.correction.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["features", "residual"])
def test_what_is_not_finite_is_refused_and_changes_nothing(bad, where):
    features, residual = made_trials(2, seed=10)
    online = ridge()
    online.learn(features[0], residual[0])
    before = online.correction.tobytes()
    (features if where == "features" else residual)[1, 0] = bad
    with pytest.raises(ValueError, match="not finite"):
        online.learn(features[1], residual[1])
    assert online.correction.tobytes() == before


@pytest.mark.parametrize(("prior", "forgetting"), [(0, 1), (-1, 1), (np.nan, 1), (1, 0), (1, 1.01)])
def test_settings_that_make_no_ridge_are_refused(prior, forgetting):
    with pytest.raises(ValueError, match="prior"):
        ridge(forgetting, prior)


def with_latents(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Many features, few trials; ``share`` of the residual can be predicted from them."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 80)).astype(np.float32)
    weights = rng.standard_normal((80, 30)) / 80**0.5
    residual = share * features @ weights + rng.standard_normal((n, 30))
    return features, residual.astype(np.float32)


def prequential(features: np.ndarray, residual: np.ndarray, prior: float) -> tuple[float, float]:
    """Return the squared error with the correction, over that without, each trial before it is learnt; and trust."""
    online = OnlineRidge(features.shape[1], residual.shape[1], prior=prior)
    left = 0.0
    for x, r in zip(features, residual, strict=True):
        left += float(np.square(r - online.predict(x)).sum())
        online.learn(x, r)
    return left / float(np.square(residual).sum()), online.trust


def test_where_there_is_nothing_to_learn_nothing_is_trusted():
    features, residual = with_latents(300, 0.0, seed=11)
    # A prior so weak that noise is learnt by heart: added whole, it would double the error.
    left, trust = prequential(features, residual, prior=0.1)
    assert trust < 0.1
    assert left < 1.02


@pytest.mark.parametrize("prior", [0.1, 30.0])
def test_where_there_is_something_to_learn_it_is_trusted_and_helps(prior):
    features, residual = with_latents(400, 2.0, seed=12)
    left, trust = prequential(features, residual, prior)
    assert trust > 0.8
    assert left < 0.5


def test_what_is_added_is_the_trusted_share_of_the_correction():
    features, residual = with_latents(60, 1.0, seed=13)
    online = OnlineRidge(80, 30, prior=20.0)
    for x, r in zip(features, residual, strict=True):
        online.learn(x, r)
    assert 0 < online.trust < 1
    x = features[0].astype(np.float64)
    whole = x @ online.correction[:-1] + online.correction[-1]
    np.testing.assert_allclose(online.predict(features[0]), online.trust * whole, atol=1e-5)
    assert online.predict(features[0]).tobytes() == added(features[0], online.weights()).tobytes()
