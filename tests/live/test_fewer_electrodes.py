"""A channel map without bad electrodes, live: the stream has all columns, the decoder sees those that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from b2g_rt.bench.children import Child
from b2g_rt.bench.equality import Decoded, compare, decoded_in_one_go
from b2g_rt.bench.measured_service import bench_config, running, wait_for
from b2g_rt.contracts.messages import FrameMessage, latent_of
from b2g_rt.contracts.session import SessionFile
from b2g_rt.service.models import load_models
from offline.export.fit_plan import FitPlan
from offline.export.session_bundle import make_session_bundle
from offline.recordings.electrode_quality import without_electrodes
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.known_latents import known_latents
from tests import decoded_world as world
from tests.tiny_bundle import CHANNELS

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_the_service_decodes_from_the_kept_electrodes_what_is_decoded_offline(tmp_path):
    dropped = np.zeros(CHANNELS.n_channels, np.bool_)
    dropped[[0, 5, 64, 190]] = True
    dropped[70:120] = True
    kept = without_electrodes(CHANNELS, dropped)
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(kept.to_dict()))
    old, new = world.draw("old", 60, 1), world.draw("new", 4, 2)
    monday = world.write(tmp_path / "monday.h5", old, list(old), 3)
    tuesday = world.write(tmp_path / "tuesday.h5", new, list(new), 4)
    with open_recording(monday, ReaderOptions(channels=kept)) as recording:
        make_session_bundle(
            [recording],
            known_latents([recording], None),
            FitPlan(method="ridge"),
            world.GENERATOR,
            tmp_path / "bundle",
            command="pytest",
            stage=lambda what, total: lambda done: None,
        )
    config = bench_config(
        f"bundle={tmp_path / 'bundle'}", f"channels={good}", "outlets.enabled=false"
    )
    models = load_models(config)
    with SessionFile(tuesday) as file:
        offline = decoded_in_one_go(file, models)
    assert models.channels.n_channels == 192 - 54
    frames: Decoded = {}

    def see(message):
        if isinstance(message, FrameMessage) and (latent := latent_of(message)) is not None:
            key = (message.trial, message.window_idx)
            frames[key] = (message.sample_start, message.sample_stop, latent)

    replay = ("replay", tuesday, "--speed", "max", "--quiet")
    with running(config, see), Child("b2g_rt", *replay) as player:
        wait_for(lambda: len(frames) >= len(offline) or not player.running, 60.0)
        wait_for(lambda: len(frames) >= len(offline), 10.0)
    same = compare(offline, frames)
    assert same["bit_identical"] == same["windows"] == len(offline) == 4 * 9
