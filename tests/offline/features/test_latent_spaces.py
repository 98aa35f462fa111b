from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import FeatureError
from offline.features.feature_space import ArrayFeatures
from offline.features.latent_spaces import latents_of_set, write_feature_file
from offline.features.store import open_features
from offline.stimuli.synthesis.plans import faces_plan, images_plan
from offline.stimuli.synthesis.stimulus_file import read_stimuli, write_stimuli

PROVENANCE = {"psi": 0.7, "generator_given": "x", "generator": {"name": "x", "sha256": "0"}}


def _set(folder, plan, rng):
    folder.mkdir()
    w = rng.standard_normal((len(plan), 6), np.float32)
    write_stimuli(folder, plan, w, dict.fromkeys(plan.files, "0" * 64), PROVENANCE)
    return read_stimuli(folder)


def test_z_and_w_of_a_set_are_spaces_of_one_file(tmp_path, rng, no_stage):
    stimuli = _set(tmp_path / "set", faces_plan(8).limited(30), rng)
    out = tmp_path / "latents.zarr"
    file = write_feature_file(
        out,
        latents_of_set(stimuli, ["w", "z"]),
        split=stimuli.split,
        sha256=stimuli.sha256,
        provenance={"network": "latents"},
        stage=no_stage,
    )
    assert file.spaces == ("w", "z")
    assert file.ids == stimuli.ids
    assert file.split[:31] == ("test",) * 30 + ("training",)
    rows = np.arange(len(file.ids))
    np.testing.assert_array_equal(file.space("z").block(rows, slice(None)), stimuli.z)
    np.testing.assert_array_equal(file.space("w").block(rows, slice(2, 4)), stimuli.w[:, 2:4])
    assert open_features(out).content_hash() == file.attributes["content_hash"]


def test_stimuli_without_z_are_counted_and_named(tmp_path, rng):
    stimuli = _set(tmp_path / "set", images_plan(8, ("n01443537", "n01629819")).limited(3), rng)
    assert latents_of_set(stimuli, ["w"])[0].n_features == 6
    with pytest.raises(FeatureError, match=r"2 of 5 stimuli have no z \(test/0001"):
        latents_of_set(stimuli, ["z"])


def test_other_values_of_the_same_stimuli_are_refused(tmp_path, rng, no_stage):
    ids = tuple(f"training/{i:04d}" for i in range(1, 4))
    values = rng.standard_normal((3, 5), np.float32)
    out = tmp_path / "f.zarr"
    for _ in range(2):
        file = write_feature_file(
            out, [ArrayFeatures("w", ids, values)], provenance={}, stage=no_stage
        )
        assert file.split == ("training",) * 3
    with pytest.raises(FeatureError, match="holds other values of stimuli 0 to 2"):
        write_feature_file(
            out, [ArrayFeatures("w", ids, values + 1)], provenance={}, stage=no_stage
        )


def test_two_stimuli_of_one_id_are_refused(tmp_path, no_stage):
    twice = ArrayFeatures("w", ("a", "b", "a"), np.zeros((3, 2), np.float32))
    with pytest.raises(FeatureError, match="two stimuli are called a"):
        write_feature_file(tmp_path / "f.zarr", [twice], provenance={}, stage=no_stage)
