"""Runs the benchmarks that were asked for and collects machine, versions and figures."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from b2g_rt import __version__
from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.errors import ConfigError
from b2g_rt.sources.lsl_settings import use_private_lsl

if TYPE_CHECKING:
    from b2g_rt.inference.providers import Request

N_IDLE_ROUNDS = 3
CASES = ("live", "idle", "pauses", "equality", "generator", "components")


@dataclass(frozen=True, slots=True)
class GeneratorCase:
    """What the case ``generator`` measures, and where."""

    model: str = "simulated-faces"
    provider: Request = "cpu"
    cuda_graph: bool = False


def environment() -> dict[str, Any]:
    """Return where the figures come from."""
    packages = ("numpy", "onnxruntime-gpu", "pylsl", "pyzmq", "h5py")
    return {
        "b2g_rt": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        **{name: metadata.version(name) for name in packages},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def run_cases(
    cases: Sequence[str],
    seconds: float,
    n_pauses: int,
    recordings: Path,
    tell: Callable[[str], None],
    generator: GeneratorCase = GeneratorCase(),
) -> dict[str, Any]:
    """Run cases in order, in a private corner of LSL.

    Raises
    ------
    ConfigError
        An unknown case.
    """
    unknown = [case for case in cases if case not in CASES]
    if unknown:
        raise ConfigError(f"bench: '{unknown[0]}', expected one of {', '.join(CASES)}.")
    results: dict[str, Any] = {"environment": environment()}
    with tempfile.TemporaryDirectory(prefix="b2g-bench-") as scratch:
        use_private_lsl(Path(scratch))
        channels = Path(scratch) / "channels.yaml"
        channels.write_text(yaml.safe_dump(brain2gan_channels(1024).to_dict()), encoding="utf-8")
        for case in cases or CASES:
            tell(case)
            results[case] = (
                _generator(generator)
                if case == "generator"
                else _run(case, seconds, n_pauses, recordings, channels)
            )
    return results


def _run(case: str, seconds: float, n_pauses: int, recordings: Path, channels: Path) -> Any:
    if case == "live":
        from b2g_rt.bench.live_load import decode_latency

        return decode_latency(seconds, channels)
    if case == "idle":
        from b2g_rt.bench.live_load import idle_load

        # A core's share over some seconds depends on what else the machine does: the median of three rounds.
        rounds = [idle_load(min(seconds, 15.0), channels) for _ in range(N_IDLE_ROUNDS)]
        return {key: float(np.median([one[key] for one in rounds])) for key in rounds[0]}
    if case == "pauses":
        from b2g_rt.bench.pauses import first_after_pause

        return first_after_pause(n_pauses, 5.0, channels)
    if case == "equality":
        from b2g_rt.bench.equality import three_ways
        from b2g_rt.commands.simulate import demo_session_path, simulate_session
        from b2g_rt.contracts.bundle import ModelBundle
        from b2g_rt.contracts.shipped_bundles import bundle_path

        bundle = ModelBundle(bundle_path("simulated-faces"))
        session = demo_session_path(bundle, recordings, 64)
        if not session.exists():
            simulate_session(bundle, session, n_trials=64)
        return three_ways(session)
    from b2g_rt.bench.components import component_load

    return component_load(min(seconds, 10.0))


def _generator(case: GeneratorCase) -> list[dict[str, Any]]:
    from b2g_rt.bench.generator_rate import picture_times
    from b2g_rt.inference.providers import ProviderSettings

    # Threads are the CPU's: elsewhere one row says it all.
    threads = (1, 2) if case.provider == "cpu" else (1,)
    return [
        picture_times(
            case.model,
            ProviderSettings(request=case.provider, threads=n, cuda_graph=case.cuda_graph),
            200,
        )
        for n in threads
    ]
