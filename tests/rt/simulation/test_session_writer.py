"""A simulated session is a recorded file like any other, whole or not there."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import SessionError
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.session_writer import write_session
from b2g_rt.simulation.stream import SimulatedStream

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
LATENTS = face_latents()
MACAQUE = Macaque(faces_spec(), CHANNELS, LATENTS)
IDS = ["face-0001", "face-0002", "face-3"]
W = LATENTS.draw(np.random.default_rng(0), 3)
ORDER = [2, 0, 1, 0, 2]


def test_session_reads_back_as_it_was_simulated(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "new" / "session.h5"
    write_session(
        path, MACAQUE, IDS, W, ORDER, 7, start_s=500.0, progress=lambda *at: seen.append(at)
    )
    stream = SimulatedStream(MACAQUE, W[ORDER], Protocol(), 7)
    with SessionFile(path) as session:
        assert session.n_samples == stream.n_samples
        assert session.n_columns == 128
        for start, block in stream.blocks(999):
            np.testing.assert_array_equal(session.mua(start, start + len(block)), block)
        np.testing.assert_array_equal(session.index(), np.arange(stream.n_samples))
        time_s = session.time_s()
        assert time_s[0] == 500.0
        np.testing.assert_allclose(np.diff(time_s), 1e-3, atol=1e-9)
        markers = session.markers()
        assert [m.text for m in markers] == [IDS[i] for i in ORDER]
        assert [m.time_s for m in markers] == list(time_s[stream.onsets])
        known = session.stimuli()
        assert known is not None
        assert known[0] == IDS
        np.testing.assert_array_equal(known[1], W)
    assert seen[-1] == (stream.n_samples, stream.n_samples)


def test_session_says_that_it_is_simulated_and_from_which_seeds(tmp_path: Path) -> None:
    write_session(tmp_path / "s.h5", MACAQUE, IDS, W, ORDER, 7)
    with SessionFile(tmp_path / "s.h5") as session:
        info = session.info
    assert info.simulated
    assert info.unit == "uV"
    assert info.rate_hz == 1000.0
    assert info.channel_map == CHANNELS
    assert info.provenance["simulated"] is True
    assert info.provenance["seeds"] == {"noise": 7, "macaque": 1, "latents": LATENTS.seed}
    assert info.provenance["n_trials"] == 5
    assert info.provenance["macaque"]["noise"]["global_share"] == 0.10


def test_a_session_that_breaks_off_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(b"old")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_session(path, MACAQUE, IDS, W, ORDER, 7, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SessionError, match=r"s\.h5: .*expected room for \d+ MB"):
        write_session(tmp_path / "file" / "s.h5", MACAQUE, IDS, W, ORDER, 7)


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # A limit on the size of a file refuses room just as a full disk does.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(SessionError, match="Make room"):
            write_session(tmp_path / "s.h5", MACAQUE, IDS, W, ORDER, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "order"), [(["a", "a", "b"], [0]), (["a", "b"], [0]), (IDS, [3]), (IDS, [])]
)
def test_ids_latents_and_order_that_do_not_fit_are_refused(
    tmp_path: Path, ids: list[str], order: list[int]
) -> None:
    with pytest.raises(ValueError, match="ids|order"):
        write_session(tmp_path / "s.h5", MACAQUE, ids, W, order, 7)
