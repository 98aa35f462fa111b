"""The face renderer: its range, its responses to every parameter, its smoothness, its ONNX twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offline.stimuli.faces.export_renderer import compare_with_onnx, export_renderer, image_of
from offline.stimuli.faces.face_parameters import PARAMETERS
from offline.stimuli.faces.face_renderer import FACE_LAYERS, FaceRenderer
from offline.stimuli.faces.soft_shapes import Bumps, bump

N_LATENT = 512
N_PARAMETER = len(PARAMETERS)
NAMES = [parameter.name for parameter in PARAMETERS]
ONE_GREY_LEVEL = 2 / 255
MEAN_FACE = {
    "background": (130, 139, 147),
    "hair": (133, 105, 88),
    "forehead": (206, 155, 122),
    "pupil": (89, 83, 78),
    "lips": (118, 58, 50),
    "clothing": (103, 92, 95),
}


def _reading() -> NDArray[np.float32]:
    columns, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((N_LATENT, N_PARAMETER)))
    return columns.T.astype(np.float32)


@pytest.fixture(scope="module")
def latent_mean() -> NDArray[np.float32]:
    return np.random.default_rng(4).standard_normal(N_LATENT).astype(np.float32)


@pytest.fixture(scope="module")
def renderer(latent_mean: NDArray[np.float32]) -> FaceRenderer:
    return FaceRenderer(latent_mean, _reading())


# The exporter takes 15 to 40 s on two busy cores; each test that may be the first allows for it.
@pytest.fixture(scope="module")
def onnx_path(renderer: FaceRenderer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("renderer") / "face.onnx"
    export_renderer(renderer, path)
    return path


def _latents(rng: np.random.Generator, n: int, n_layer: int = 1) -> NDArray[np.float32]:
    return rng.standard_normal((n, n_layer, N_LATENT)).astype(np.float32)


def _render(renderer: FaceRenderer, p: NDArray[np.floating]) -> NDArray[np.float32]:
    with torch.no_grad():
        picture: NDArray[np.float32] = renderer.render(torch.as_tensor(p).float()).numpy()
    return picture


# ---------------------------------------------------------------- parameters


def test_names_are_unique_and_each_roi_carries_a_group() -> None:
    assert len(set(NAMES)) == N_PARAMETER
    for roi in ("V1", "V4", "IT"):
        assert 10 <= sum(parameter.roi == roi for parameter in PARAMETERS) <= 20


def test_parameters_are_standard_normal_for_latents_of_the_prior(
    renderer: FaceRenderer, latent_mean: NDArray[np.float32], rng: np.random.Generator
) -> None:
    w = torch.from_numpy(latent_mean + rng.standard_normal((4000, N_LATENT)).astype(np.float32))
    p = renderer.parameters_of(w).numpy()
    assert p.shape == (4000, N_PARAMETER)
    np.testing.assert_allclose(p.mean(axis=0), 0.0, atol=0.08)
    np.testing.assert_allclose(p.std(axis=0), 1.0, atol=0.06)


def test_a_reading_of_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=rf"\(3, 512\).*\({N_PARAMETER}, 512\)"):
        FaceRenderer(np.zeros(N_LATENT, np.float32), np.zeros((3, N_LATENT), np.float32))


# ---------------------------------------------------------------- pictures


def test_pictures_are_within_range_and_use_it(
    renderer: FaceRenderer, rng: np.random.Generator
) -> None:
    p = rng.standard_normal((24, N_PARAMETER)) * np.repeat([1.0, 3.0, 30.0], 8)[:, None]
    pictures = _render(renderer, p)
    assert pictures.shape == (24, 3, 128, 128)
    assert pictures.dtype == np.float32
    assert np.isfinite(pictures).all()
    assert np.abs(pictures).max() <= 1.0
    assert (np.ptp(pictures, axis=(1, 2, 3)) > 0.8).all()


def test_only_the_first_layer_is_read_whatever_their_number(
    renderer: FaceRenderer, rng: np.random.Generator
) -> None:
    w = torch.from_numpy(_latents(rng, 3, 16))
    with torch.no_grad():
        sixteen, one = renderer(w), renderer(w[:, :1])
    assert torch.equal(sixteen, one)


def test_the_mean_face_is_the_picture_of_the_mean_latent_and_stays_as_it_is(
    renderer: FaceRenderer, latent_mean: NDArray[np.float32]
) -> None:
    image = image_of(renderer, latent_mean[None, None])[0]
    np.testing.assert_array_equal(image, image_of(renderer, latent_mean[None, None])[0])
    elements = {
        "background": image[6, 6],
        "hair": image[18, 64],
        "forehead": image[42, 64],
        "pupil": image[57, 51],
        "lips": image[85, 64],
        "clothing": image[124, 64],
    }
    # Loosely: taste may move them a little, a broken layer moves them far.
    for place, found in elements.items():
        np.testing.assert_allclose(found.astype(int), MEAN_FACE[place], atol=12, err_msg=place)


def test_the_mean_face_is_symmetric_about_its_nose(renderer: FaceRenderer) -> None:
    picture = _render(renderer, np.zeros((1, N_PARAMETER)))
    # Nose and mouth only: hair, brow strokes and glints fall as they like.
    skin = picture[..., 68:88, 50:78]
    np.testing.assert_allclose(skin, skin[..., ::-1], atol=0.06)


@pytest.mark.parametrize("region_idx", range(len(FACE_LAYERS)))
def test_no_layer_is_cut_off_by_the_region_it_is_drawn_in(
    renderer: FaceRenderer,
    rng: np.random.Generator,
    region_idx: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = np.concatenate(
        [rng.choice([-3.0, 3.0], (24, N_PARAMETER)), rng.standard_normal((8, N_PARAMETER))]
    )
    cut = _render(renderer, p)
    region, layers = FACE_LAYERS[region_idx]
    whole = type(region)(0.0, 1.0, 0.0, 1.0)
    regions = [*FACE_LAYERS[:region_idx], (whole, layers), *FACE_LAYERS[region_idx + 1 :]]
    monkeypatch.setattr("offline.stimuli.faces.face_renderer.FACE_LAYERS", tuple(regions))
    assert np.abs(_render(renderer, p) - cut).max() < ONE_GREY_LEVEL


# ---------------------------------------------------------------- responses


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(
    renderer: FaceRenderer, rng: np.random.Generator, scale: float
) -> None:
    # Saturated (scale 3) most draws of a switch-like parameter are flat: one of many must not be.
    p = torch.from_numpy((rng.standard_normal((16, N_PARAMETER)) * scale).astype(np.float32))
    weights = torch.from_numpy(rng.standard_normal((16, 3, 128, 128)).astype(np.float32))
    p.requires_grad_(True)
    (renderer.render(p) * weights).sum().backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
    silent = [NAMES[i] for i in range(N_PARAMETER) if p.grad[:, i].abs().max() < 1e-3]
    assert silent == []


def test_half_a_deviation_of_each_parameter_shows_in_the_mean_face(renderer: FaceRenderer) -> None:
    mean = _render(renderer, np.zeros((1, N_PARAMETER)))
    moved = _render(renderer, 0.55 * np.eye(N_PARAMETER))
    # A change that is seen: a patch of the picture changes by several grey levels.
    changed = (np.abs(moved - mean).max(axis=1) > 6 / 127.5).mean(axis=(1, 2))
    unseen = {NAMES[i]: float(share) for i, share in enumerate(changed) if share < 0.002}
    assert unseen == {}


def test_a_shrunk_face_is_nearer_to_its_own_picture_than_the_mean_face_or_another(
    renderer: FaceRenderer, rng: np.random.Generator
) -> None:
    p = rng.standard_normal((16, N_PARAMETER))
    true, mean = _render(renderer, p), _render(renderer, np.zeros((1, N_PARAMETER)))
    shrunk = _render(renderer, 0.55 * p)
    distance = np.sqrt(((shrunk[:, None] - true[None]) ** 2).mean(axis=(2, 3, 4)))
    own = np.diagonal(distance)
    to_mean = np.sqrt(((mean - true) ** 2).mean(axis=(1, 2, 3)))
    assert (own < 0.75 * to_mean).mean() > 0.9
    assert (distance.argmin(axis=1) == np.arange(16)).mean() > 0.9


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.0, 3.0),
    step=st.floats(1e-4, 1e-2),
)
def test_a_small_step_changes_the_picture_little(seed: int, scale: float, step: float) -> None:
    renderer = FaceRenderer(np.zeros(N_LATENT, np.float32), _reading())
    rng = np.random.default_rng(seed)
    p = rng.standard_normal((1, N_PARAMETER)) * scale
    direction = rng.standard_normal((1, N_PARAMETER))
    direction /= np.linalg.norm(direction)
    change = np.abs(_render(renderer, p + step * direction) - _render(renderer, p))
    # Bounded by the sharpest edge moved by the fastest parameter: no jumps anywhere.
    assert change.max() <= 12.0 * step + 1e-3
    assert change.mean() <= 0.5 * step + 1e-4


def test_the_gradient_is_the_slope_of_the_picture(
    renderer: FaceRenderer, rng: np.random.Generator
) -> None:
    double = FaceRenderer(renderer.latent_mean, renderer.reading).double()
    p = torch.from_numpy(rng.standard_normal((1, N_PARAMETER)))
    direction = torch.from_numpy(rng.standard_normal((1, N_PARAMETER)))
    _, slope = torch.autograd.functional.jvp(double.render, p, direction)
    step = 1e-5
    with torch.no_grad():
        ahead = double.render(p + step * direction)
        behind = double.render(p - step * direction)
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- shapes


def test_bumps_drawn_as_a_matrix_product_are_the_bumps_drawn_one_by_one(
    rng: np.random.Generator,
) -> None:
    axis = torch.linspace(-0.8, 0.8, 40)
    u, v = axis.reshape(1, 1, 1, 40) + 0 * axis.reshape(1, 1, 40, 1), axis.reshape(1, 1, 40, 1)
    v = v + 0 * u
    moving = torch.from_numpy(rng.uniform(-0.3, 0.3, (2, 1, 1, 1)).astype(np.float32))
    u, v = u.expand(2, 1, 40, 40), v.expand(2, 1, 40, 40)
    bumps = Bumps(u, v, [(moving, 0.1, 0.05, 0.2), (0.2, -0.1, 0.3, 0.02)])
    first, second = bumps.mix([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(first, bump(u - moving, v - 0.1, 0.05, 0.2), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(second, bump(u - 0.2, v + 0.1, 0.3, 0.02), atol=1e-4, rtol=1e-3)


# ---------------------------------------------------------------- ONNX


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_onnx_draws_what_torch_draws(
    renderer: FaceRenderer, onnx_path: Path, rng: np.random.Generator
) -> None:
    parity = compare_with_onnx(renderer, onnx_path, _latents(rng, 24, 16))
    assert parity.worst <= 1
    assert parity.share < 1e-3


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_onnx_file_takes_any_number_of_faces_and_layers(
    renderer: FaceRenderer, onnx_path: Path, rng: np.random.Generator
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    (given_w,), (image,) = session.get_inputs(), session.get_outputs()
    assert (given_w.name, given_w.type, given_w.shape[2]) == ("w", "tensor(float)", N_LATENT)
    assert (image.name, image.type) == ("image", "tensor(uint8)")
    for n, n_layer in ((1, 1), (1, 16), (3, 18)):
        w = _latents(rng, n, n_layer)
        found = session.run(None, {"w": w})[0]
        assert found.shape == (n, 128, 128, 3)
        expected = image_of(renderer, w)
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_onnx_file_tells_nothing_about_the_machine_that_wrote_it(onnx_path: Path) -> None:
    assert b"site-packages" not in onnx_path.read_bytes()
    assert str(Path(__file__).parents[3]).encode() not in onnx_path.read_bytes()
