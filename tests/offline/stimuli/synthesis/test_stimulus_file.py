from __future__ import annotations

import h5py
import numpy as np
import pytest

from b2g_rt.errors import StimulusError
from offline.recordings.known_latents import known_latents
from offline.stimuli.synthesis.plans import images_plan
from offline.stimuli.synthesis.stimulus_file import read_stimuli, write_stimuli

WNIDS = ("n02206856", "n01443537")  # bee, goldfish
PROVENANCE = {
    "psi": 0.7,
    "generator_given": "generators/xl",
    "generator": {"name": "xl", "sha256": "0" * 64},
}


@pytest.fixture
def plan():
    return images_plan(4, WNIDS, "paper").limited(21)


@pytest.fixture
def written(tmp_path, plan):
    w = np.arange(len(plan) * 5, dtype=np.float32).reshape(-1, 5)
    digests = {file: f"{i:064x}" for i, file in enumerate(plan.files)}
    columns = {"position": np.linspace(0, 1, len(plan))}
    write_stimuli(tmp_path, plan, w, digests, PROVENANCE, columns)
    return tmp_path


def test_what_is_written_is_read_again(written, plan):
    stimuli = read_stimuli(written)
    assert (stimuli.ids, stimuli.files, stimuli.split) == (plan.ids, plan.files, plan.split)
    assert (stimuli.wnid, stimuli.drawn_wnid) == (plan.wnid, plan.drawn_wnid)
    assert stimuli.label[0] == "bee eater"
    assert np.array_equal(stimuli.z, plan.z, equal_nan=True)
    assert np.array_equal(stimuli.class_id, plan.class_id)
    assert np.array_equal(stimuli.seed_row[2:22], np.arange(20))
    assert stimuli.w[3, 1] == 16
    assert stimuli.sha256[1] == f"{1:064x}"
    assert stimuli.provenance == PROVENANCE
    with h5py.File(written / "stimuli.h5") as file:
        assert file["position"][-1] == 1


def test_fit_reads_the_latents_of_a_set(written, plan):
    known = known_latents([], written / "latents.npz")
    assert set(known) == set(plan.ids)
    assert known["test/0002"].tolist() == [5, 6, 7, 8, 9]


def test_a_term_is_an_id_a_pattern_or_a_class(written):
    stimuli = read_stimuli(written)
    assert stimuli.find("test/0002") == [1]
    assert stimuli.find("test/*") == [0, 1]
    assert stimuli.find("n02206856") == list(range(2, 22))
    with pytest.raises(StimulusError, match="no stimulus 'test/9999'.*such as test/0001"):
        stimuli.find("test/9999")


def test_an_unfinished_set_is_refused(tmp_path):
    with pytest.raises(StimulusError, match=r"no stimuli\.h5, expected a finished set"):
        read_stimuli(tmp_path)


def _other_format(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 9


def _without_w(path):
    with h5py.File(path, "r+") as file:
        del file["w"]


def _short_column(path):
    with h5py.File(path, "r+") as file:
        del file["seed"]
        file["seed"] = np.zeros(3, np.int64)


def _numbers_for_texts(path):
    with h5py.File(path, "r+") as file:
        del file["id"]
        file["id"] = np.zeros(22)


def _without_generator(path):
    with h5py.File(path, "r+") as file:
        file.attrs["provenance"] = '{"psi": 0.7}'


def _cut(path):
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    "spoil",
    [_other_format, _without_w, _short_column, _numbers_for_texts, _without_generator, _cut],
)
def test_a_file_that_is_none_of_ours_is_refused_in_one_line(written, spoil):
    spoil(written / "stimuli.h5")
    with pytest.raises(StimulusError) as refused:
        read_stimuli(written)
    assert "stimuli.h5: " in str(refused.value)
    assert "\n" not in str(refused.value)
