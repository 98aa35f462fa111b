"""The filters between raw voltage and MUA: one design for the live chain and for the paper's.

Band-pass, rectify, low-pass, take every n-th sample, notch. Live (``envelope.py``) runs each filter forward once:
causal, with the lag stated here. Offline (``offline/recordings/mua_chain.py``) runs the same sections forward and
backward: no lag, twice the attenuation in dB.
Pure numbers: knows no samples, files or streams.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError

_N_FREQUENCIES = 4096


@dataclass(frozen=True, slots=True)
class MuaSpec:
    """All numbers of the chain.

    Attributes
    ----------
    raw_rate_hz, rate_hz : float
        Samples per second of the voltage and of the MUA; the first is a whole multiple of the second.
    band_hz : (float, float)
        Edges of the band-pass; an earlier paper of the lab has 500-9000.
    band_order, low_pass_order : int
        Of the Butterworth prototypes (a band-pass of order 2 has two sections).
    low_pass_hz : float
    notches_hz : tuple of float
        Line noise and its harmonics, and the screen's refresh. Taken out of the MUA: what of them is left in the
        voltage behind the band-pass, or rides on the activity, shows there. Empty: none.
    notch_q : float
        Quality: a notch is ``frequency / notch_q`` wide at -3 dB.

    Raises
    ------
    ConfigError
        Rates, edges or orders that make no chain.

    Notes
    -----
    Source: Brain2GAN, doi 10.1371/journal.pcbi.1012058 (facts/brain2gan.md). The order of the low-pass and the
    quality of the notches are not published; those of the band-pass and a width of 1 to 5 Hz are taken.
    """

    raw_rate_hz: float = 30_000.0
    rate_hz: float = 1000.0
    band_hz: tuple[float, float] = (500.0, 5000.0)
    band_order: int = 2
    low_pass_hz: float = 200.0
    low_pass_order: int = 2
    notches_hz: tuple[float, ...] = (50.0, 60.0, 100.0, 150.0)
    notch_q: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what makes no chain."""
        if not (self.rate_hz > 0 and self.raw_rate_hz >= 2 * self.rate_hz):
            raise ConfigError(
                f"mua.raw_rate_hz: {self.raw_rate_hz:g} Hz for MUA at {self.rate_hz:g} Hz, expected at least twice "
                "as much."
            )
        if abs(self.raw_rate_hz / self.rate_hz - self.factor) > 1e-9:
            raise ConfigError(
                f"mua.raw_rate_hz: {self.raw_rate_hz:g} Hz, expected a whole multiple of {self.rate_hz:g} Hz."
            )
        low, high = self.band_hz
        if not 0 < low < high < self.raw_rate_hz / 2:
            raise ConfigError(
                f"mua.band_hz: {low:g} to {high:g}, expected rising frequencies between 0 and "
                f"{self.raw_rate_hz / 2:g} Hz."
            )
        if not 0 < self.low_pass_hz < self.rate_hz / 2:
            raise ConfigError(
                f"mua.low_pass_hz: {self.low_pass_hz:g}, expected between 0 and {self.rate_hz / 2:g} Hz."
            )
        if min(self.band_order, self.low_pass_order) < 1:
            raise ConfigError(
                f"mua: filter orders {self.band_order} and {self.low_pass_order}, expected 1 or more."
            )
        wrong = [f for f in self.notches_hz if not 0 < f < self.rate_hz / 2]
        if wrong or not self.notch_q > 0:
            raise ConfigError(
                f"mua.notches_hz: {self.notches_hz} with quality {self.notch_q:g}, expected frequencies between 0 and "
                f"{self.rate_hz / 2:g} Hz and a positive quality."
            )

    @property
    def factor(self) -> int:
        """Voltage samples per MUA sample."""
        return round(self.raw_rate_hz / self.rate_hz)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for provenance."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class MuaFilters:
    """The chain's filters as second-order sections, float64, axes (section, 6).

    Attributes
    ----------
    band_pass, low_pass : float64, axes (section, 6), at the voltage's rate
    notches : float64, axes (section, 6), at the MUA's rate; none: no rows
    lag_s : float
        By how much the causal chain's output is behind the voltage, counted from the newest voltage sample that it
        used.
    """

    band_pass: NDArray[np.float64]
    low_pass: NDArray[np.float64]
    notches: NDArray[np.float64]
    lag_s: float


def design(spec: MuaSpec) -> MuaFilters:
    """Return the filters of a specification.

    Notes
    -----
    The lag is the delay of a slow change of the multi-unit activity: that of the low-pass and of the notches at 0 Hz,
    and that of the band-pass's energy, its group delay weighted with its power gain.
    """
    from scipy import signal

    band = signal.butter(
        spec.band_order, spec.band_hz, "bandpass", fs=spec.raw_rate_hz, output="sos"
    )
    low = signal.butter(
        spec.low_pass_order, spec.low_pass_hz, "lowpass", fs=spec.raw_rate_hz, output="sos"
    )
    notches = np.zeros((0, 6))
    if spec.notches_hz:
        pairs = [signal.iirnotch(f, spec.notch_q, fs=spec.rate_hz) for f in spec.notches_hz]
        notches = np.vstack([np.concatenate([b, a]) for b, a in pairs])
    turn = np.linspace(0.0, np.pi, _N_FREQUENCIES + 2)[1:-1]
    response, delay = _response(band, turn)
    power = np.square(np.abs(response))
    at_zero = np.array([1e-6])
    lag = float(np.sum(power * delay) / np.sum(power)) / spec.raw_rate_hz
    lag += float(_response(low, at_zero)[1][0]) / spec.raw_rate_hz
    lag += float(_response(notches, at_zero)[1][0]) / spec.rate_hz
    return MuaFilters(
        np.asarray(band, np.float64), np.asarray(low, np.float64), np.asarray(notches), lag
    )


def settling(sos: NDArray[np.float64], share: float) -> int:
    """Return after how many samples less than ``share`` of a disturbance is left.

    Parameters
    ----------
    sos : float64, axes (section, 6)
    share : float
        Between 0 and 1.
    """
    if not len(sos):
        return 0
    radius = max(float(np.abs(np.roots(section[3:])).max()) for section in sos)
    # Sections in a row add a few samples at the start; the slowest pole rules the tail.
    return int(np.ceil(np.log(share) / np.log(radius))) + 2 * len(sos)


def _response(
    sos: NDArray[np.float64], turn: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return frequency response and group delay, samples, at angles (radians per sample)."""
    z = np.exp(-1j * turn)
    response = np.ones(len(turn), np.complex128)
    delay = np.zeros(len(turn))
    powers = np.arange(3)
    for section in sos:
        for sign, taps in ((1, section[:3]), (-1, section[3:])):
            value = np.polynomial.polynomial.polyval(z, taps)
            slope = np.polynomial.polynomial.polyval(z, powers * taps)
            response *= value**sign
            # A zero of the band-pass (0 Hz, half the rate) has no delay and no power either.
            delay += sign * np.real(slope / np.where(value == 0, 1.0, value))
    return response, delay
