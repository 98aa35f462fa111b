from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap, brain2gan_channels
from b2g_rt.errors import ChannelMapError


def test_paper_map_has_the_published_column_borders():
    channels = brain2gan_channels(960)
    assert [len(channels.channels_of(roi)) for roi in ("V1", "V4", "IT")] == [448, 256, 256]
    assert [int(channels.channels_of(roi)[0]) for roi in ("V1", "V4", "IT")] == [0, 448, 704]


def test_the_broken_array_is_left_out_of_1024_columns():
    channels = brain2gan_channels(1024)
    assert channels.n_channels == 960
    assert not set(range(320, 384)) & set(channels.stream_idx.tolist())
    assert channels.same_electrodes(brain2gan_channels(960))


def test_pick_takes_the_kept_columns_in_channel_order():
    channels = brain2gan_channels(1024)
    chunk = np.arange(2 * 1024, dtype=np.float32).reshape(2, 1024)
    np.testing.assert_array_equal(channels.pick(chunk), chunk[:, channels.stream_idx])


def test_electrodes_run_row_by_row_through_the_grid():
    channels = ChannelMap(64, (ArraySlot(3, "V4", 0, dead_electrodes=(0, 9)),))
    assert channels.n_channels == 62
    assert (channels.row[0], channels.col[0]) == (0, 1)
    assert (channels.row[7], channels.col[7]) == (1, 0)
    assert (channels.row[8], channels.col[8]) == (1, 2)


@pytest.mark.parametrize(
    ("slots", "says"),
    [
        ((ArraySlot(0, "V1", 0), ArraySlot(1, "V1", 32)), "array 1: shares columns with array 0"),
        ((ArraySlot(0, "V2", 0),), "ROI 'V2'"),
        ((ArraySlot(0, "V1", 100),), "columns 100 to 163, the stream has 128"),
        ((ArraySlot(0, "V1", 0), ArraySlot(0, "V1", 64)), "named twice"),
        ((ArraySlot(0, "V1", 0, dead_electrodes=(64,)),), "dead_electrodes"),
        ((ArraySlot(0, "V1", 0, dead=True),), "no electrode is kept"),
    ],
    ids=["overlap", "roi", "beyond", "twice", "electrode", "nothing"],
)
def test_a_map_that_contradicts_itself_is_refused(slots, says):
    with pytest.raises(ChannelMapError, match=says):
        ChannelMap(128, slots)


def test_a_chunk_of_another_width_is_refused():
    with pytest.raises(ChannelMapError, match="960 columns, the channel map expects 1024"):
        brain2gan_channels(1024).pick(np.zeros((1, 960), np.float32))


def test_a_map_survives_the_way_through_json():
    channels = brain2gan_channels(1024)
    assert ChannelMap.from_dict(channels.to_dict()) == channels


def test_a_misspelt_key_is_named():
    with pytest.raises(ChannelMapError, match="fisrt"):
        ChannelMap.from_dict(
            {"n_stream_channels": 64, "arrays": [{"array": 0, "roi": "V1", "fisrt": 0}]}
        )
