"""LSL outlets for a session that is played: what they say about themselves, and how they are opened."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.sources.recorded import Recording

BUFFER_S = 360
_POLL_S = 0.1
_LABELS_AT_MOST = 4096


class OutletPair:
    """A MUA outlet and, if named, a marker outlet of one played session.

    Parameters
    ----------
    session : Recording
    mua_name : str
    marker_name : str or None
    speed : float or None
        Recorded seconds per second; None: as fast as possible, stamps on the session's own clock.
    source_id : str
        Of the MUA outlet; the markers' is the same with ``-markers`` behind it.
    n_trials : int or None
        Told to whoever listens, for progress.
    """

    def __init__(
        self,
        session: Recording,
        mua_name: str,
        marker_name: str | None,
        speed: float | None,
        source_id: str,
        n_trials: int | None = None,
    ) -> None:
        import pylsl

        info = session.info
        rate_hz = info.rate_hz * (speed or 1.0)
        stream = pylsl.StreamInfo(
            mua_name, "MUA", session.n_columns, rate_hz, pylsl.cf_float32, source_id
        )
        b2g = stream.desc().append_child("b2g")
        for name, value in (
            ("speed", repr(speed or 1.0)),
            ("clock", "lsl" if speed else "session"),
            ("simulated", str(int(info.simulated))),
            ("n_trials", "" if n_trials is None else str(n_trials)),
            ("provenance", json.dumps(info.provenance)),
        ):
            b2g.append_child_value(name, value)
        self._label(stream, session)
        self.mua: Any = pylsl.StreamOutlet(stream, max_buffered=BUFFER_S)
        self.markers: Any = None
        if marker_name is not None:
            markers = pylsl.StreamInfo(
                marker_name,
                "Markers",
                1,
                pylsl.IRREGULAR_RATE,
                pylsl.cf_string,
                f"{source_id}-markers",
            )
            self.markers = pylsl.StreamOutlet(markers)

    @staticmethod
    def _label(stream: Any, session: Recording) -> None:
        channels = session.info.channel_map
        labels = [f"column {column}" for column in range(session.n_columns)]
        for channel, column in enumerate(channels.stream_idx):
            array, row, col = (getattr(channels, name)[channel] for name in ("array", "row", "col"))
            labels[int(column)] = f"{channels.roi[channel]} array {array} row {row} col {col}"
        element = stream.desc().append_child("channels")
        for label in labels[:_LABELS_AT_MOST]:
            channel = element.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", session.info.unit)
            channel.append_child_value("type", "MUA")

    def wait_for_readers(self, stop: threading.Event, marker_wait_s: float) -> bool:
        """Wait until both streams are read; markers for ``marker_wait_s`` at most. False when stopped."""
        while not self.mua.wait_for_consumers(_POLL_S):
            if stop.is_set():
                return False
        end = time.monotonic() + marker_wait_s
        while self.markers is not None and not self.markers.wait_for_consumers(_POLL_S):
            if stop.is_set():
                return False
            if time.monotonic() > end:
                break
        return not stop.is_set()

    def have_readers(self) -> bool:
        """Whether anybody still reads the MUA."""
        return bool(self.mua.have_consumers())

    def push(self, rows: NDArray[np.float32], stamps: NDArray[np.float64]) -> None:
        """Send rows, float32 axes (sample, stream column), each with its stamp, s."""
        self.mua.push_chunk(rows, stamps)

    def push_marker(self, text: str, stamp: float) -> None:
        """Send one marker."""
        if self.markers is not None:
            self.markers.push_sample([text], stamp)

    def close(self) -> None:
        """Close the outlets; twice is harmless."""
        self.mua = self.markers = None
