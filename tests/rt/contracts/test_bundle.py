from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.bundle import FILES, ModelBundle, npz_bytes, write_bundle
from b2g_rt.errors import BundleError
from tests.tiny_bundle import N_LATENTS, write_tiny_bundle


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


def edit_manifest(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_a_bundle_is_read_as_it_was_written(path):
    bundle = ModelBundle(path)
    assert bundle.channels.n_channels == 192
    assert bundle.n_windows == 9
    assert bundle.latent_mean.shape == (N_LATENTS,)
    assert bundle.stimuli.position("face-0003") == 3
    assert bundle.stimuli.position("nobody") is None


def test_the_same_contents_have_the_same_hash(tmp_path):
    assert write_tiny_bundle(tmp_path / "a").hash == write_tiny_bundle(tmp_path / "b").hash
    assert write_tiny_bundle(tmp_path / "c", seed=2).hash != ModelBundle(tmp_path / "a").hash


@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_missing_file_is_named(path, name):
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        ModelBundle(path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(BundleError, match="the directory is missing"):
        ModelBundle(tmp_path / "none")


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(path, name):
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} has SHA-256 .* manifest.json says"):
        ModelBundle(path)


def test_the_next_schema_version_is_refused(path):
    edit_manifest(path, schema_version=2)
    with pytest.raises(BundleError, match="schema version 2, this program reads 1"):
        ModelBundle(path)


def test_an_unknown_key_is_named(path):
    edit_manifest(path, colour="red")
    with pytest.raises(BundleError, match="colour"):
        ModelBundle(path)


def test_a_manifest_that_is_no_json_is_refused(path):
    (path / "manifest.json").write_text("<html>")
    with pytest.raises(BundleError, match="expected JSON"):
        ModelBundle(path)


def test_arrays_that_contradict_the_manifest_are_refused(path):
    edit_manifest(path, n_latents=N_LATENTS + 1)
    with pytest.raises(BundleError, match=r"latent_mean has shape \(16,\)"):
        ModelBundle(path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("windows", "roi_lag", 5),
        ("windows", "roi_lag", "V1"),
        ("windows", "roi_lag", ["V1"]),
        ("windows", "roi_lag", {"V1": "early"}),
        ("windows", "length", "long"),
        ("windows", "length", 100.5),
        ("windows", "anchor", "sun"),
        ("windows", "colour", "red"),
        ("channel_map", "arrays", 5),
        ("channel_map", "arrays", ["V1"]),
        ("channel_map", "arrays", [{"array": 0}]),
        ("channel_map", "n_stream_channels", "many"),
    ],
)
def test_windows_and_channels_that_are_none_are_one_line(path, part, key, value):
    manifest = json.loads((path / "manifest.json").read_text())
    edit_manifest(path, **{part: {**manifest[part], key: value}})
    with pytest.raises(BundleError) as caught:
        ModelBundle(path)
    assert str(caught.value).startswith(f"bundle {path}: manifest.json: {part}: ")
    assert "\n" not in str(caught.value)


def test_a_bundle_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="expected a directory that can be written"):
        write_tiny_bundle(tmp_path / "file" / "tiny")


def test_other_weights_of_the_same_shape_are_caught_by_the_reference(path):
    reference = ModelBundle(path).reference()
    right = dict(zip([f.tobytes() for f in reference.features], reference.latents, strict=True))
    bundle = ModelBundle(path)
    assert bundle.check_decoder(lambda f, k, s: (right[f.tobytes()], s), "CPU") == 0
    with pytest.raises(
        BundleError, match=r"decoder.onnx on CPU differs from the reference latents"
    ):
        bundle.check_decoder(lambda f, k, s: (right[f.tobytes()] + np.float32(0.01), s), "CPU")
    with pytest.raises(BundleError, match="differs from the reference latents by nan"):
        bundle.check_decoder(lambda f, k, s: (right[f.tobytes()] * np.float32(np.nan), s), "CPU")


def test_a_pickle_inside_an_array_file_is_not_read(path):
    (path / "stimuli.npz").write_bytes(
        npz_bytes(id=np.array(["a"]), latent=np.zeros((1, N_LATENTS), np.float32))
    )
    np.savez(path / "stimuli.npz", id=np.array([object()], dtype=object), latent=np.zeros((1, 16)))
    import hashlib

    manifest = json.loads((path / "manifest.json").read_text())
    files = manifest["files"]
    files["stimuli.npz"] = hashlib.sha256((path / "stimuli.npz").read_bytes()).hexdigest()
    edit_manifest(path, files=files)
    with pytest.raises(BundleError, match=r"stimuli.npz: .*allow_pickle"):
        ModelBundle(path)


def test_a_bundle_from_before_decoders_remembered_still_loads(path):
    manifest = json.loads((path / "manifest.json").read_text())
    assert not {"decoder_state", "live"} & manifest.keys()
    bundle = ModelBundle(path)
    assert (bundle.manifest.decoder_state, bundle.manifest.live) == (0, True)
    assert bundle.reference().trial.tolist() == [0, 1, 2]


def remembering(features, window_idx, state):
    """Return a latent that is the sum of a trial's first channel so far."""
    total = state + features[:1]
    return np.repeat(total, N_LATENTS), total


def with_memory(path, **changes):
    """Rewrite the tiny bundle for a decoder that remembers one number; two trials of three windows."""
    tiny = ModelBundle(path)
    features = np.zeros((6, tiny.channels.n_channels), np.float32)
    features[:, 0] = [1, 10, 2, 20, 3, 30]
    sums = np.array([1, 10, 3, 30, 6, 60], np.float32)
    rows = {
        "features": features,
        "window_idx": np.repeat(np.arange(3), 2),
        "latents": np.repeat(sums[:, None], N_LATENTS, axis=1),
        "trial": np.tile(np.arange(2), 3),
        "w": tiny.reference().w,
        "images": tiny.reference().images,
    }
    kept = {k: np.asarray(v) for k, v in (rows | changes).items() if v is not None}
    files = {name: tiny.file(name).read_bytes() for name in FILES}
    manifest = tiny.manifest.model_dump(exclude={"schema_version", "files"})
    write_bundle(
        path, manifest | {"decoder_state": 1}, files | {"reference.npz": npz_bytes(**kept)}
    )
    return ModelBundle(path)


def test_what_a_decoder_remembers_is_handed_on_within_each_reference_trial(path):
    assert with_memory(path).check_decoder(remembering, "CPU") == 0
    with pytest.raises(BundleError, match="differs from the reference latents"):
        ModelBundle(path).check_decoder(lambda f, k, s: remembering(f, k, 0 * s), "CPU")


@pytest.mark.parametrize(
    ("trial", "line"),
    [
        (None, "reference.npz: .*trial.*, expected arrays"),
        (np.zeros(5, np.int64), "differ in length"),
    ],
)
def test_reference_rows_of_a_decoder_that_remembers_say_which_trial_they_are_of(path, trial, line):
    bundle = with_memory(path, trial=trial)
    with pytest.raises(BundleError, match=line):
        bundle.reference()


def test_a_decoder_cannot_remember_less_than_nothing(path):
    edit_manifest(path, decoder_state=-1)
    with pytest.raises(BundleError, match="decoder_state"):
        ModelBundle(path)
