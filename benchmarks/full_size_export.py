"""Published networks at full size, with random weights: exported, compared with torch, loaded and run on the CPU.

    .venv/bin/python benchmarks/full_size_export.py
    .venv/bin/python benchmarks/full_size_export.py stylegan3-r-ffhq-1024x1024 --half --json

Each step runs in a process of its own, so that its peak memory is its own. The reference is the straightforward
formulation of the tests; it takes minutes at 1024 px.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT = ("stylegan3-r-ffhq-1024x1024", "imagenet512")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests/ holds the reference; it is no installed package.
STEPS = ("export", "torch", "onnxruntime")
SEED = 0


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(DEFAULT))
    parser.add_argument("--half", action="store_true", help="export float16")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        told = globals()[f"_{given.step}"](given.networks[0], given.folder, given.half)
        told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps(told))
        return
    found = [_measured(name, given.half) for name in given.networks]
    print(json.dumps(found, indent=1) if given.json else _table(found))


def _measured(name: str, half: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"network": name, "half": half}
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            command = [sys.executable, __file__, name, "--step", step, "--folder", folder]
            done = subprocess.run(
                command + ["--half"] * half, check=True, stdout=subprocess.PIPE, text=True
            )
            found[step] = json.loads(done.stdout)
    return found


def _generator(name: str) -> Any:
    import torch

    from offline.stimuli.stylegan.generator import Generator
    from offline.stimuli.stylegan.published import published

    torch.manual_seed(SEED)
    return Generator(published(name)).eval().requires_grad_(False)


def _export(name: str, folder: Path, half: bool) -> dict[str, Any]:
    from offline.export.stylegan.directory import save_model
    from offline.export.stylegan.mapping_graph import mapping_model
    from offline.export.stylegan.model import synthesis_model

    network = _generator(name)
    began = time.perf_counter()
    save_model(mapping_model(network.mapping), folder / "mapping.onnx")
    save_model(synthesis_model(network.synthesis, half=half), folder / "synthesis.onnx")
    return {
        "seconds": time.perf_counter() - began,
        "n_parameters": sum(p.numel() for p in network.synthesis.parameters()),
        "mapping_mb": (folder / "mapping.onnx").stat().st_size / 1e6,
        "synthesis_mb": (folder / "synthesis.onnx").stat().st_size / 1e6,
    }


def _torch(name: str, folder: Path, half: bool) -> dict[str, Any]:
    import torch

    from tests.offline.stimuli.stylegan.straightforward import StraightforwardSynthesis

    network = _generator(name)
    spec = network.spec
    # As published, but for down filters that compute only the samples that are kept: minutes less.
    synthesis = StraightforwardSynthesis(spec, "ref-1D-strided")
    synthesis.load_state_dict(network.synthesis.state_dict(), assign=True)
    z = torch.randn(1, spec.z_dim, generator=torch.Generator().manual_seed(SEED))
    classes = torch.tensor([7]) if spec.n_classes else None
    w = network.mapping(z, classes, 0.7)
    began = time.perf_counter()
    with torch.inference_mode():
        image = synthesis(w)
    seconds = time.perf_counter() - began
    np.savez(folder / "wanted.npz", z=z.numpy(), w=w.numpy(), image=image.numpy())
    return {"seconds": seconds}


def _onnxruntime(name: str, folder: Path, half: bool) -> dict[str, Any]:
    import onnxruntime

    from offline.export.cpu_session import cpu_session

    wanted = np.load(folder / "wanted.npz")
    feed: dict[str, Any] = {"z": wanted["z"], "psi": np.array(0.7, np.float32)}
    mapping = cpu_session(folder / "mapping.onnx", threads=0)
    if "class_id" in [one.name for one in mapping.get_inputs()]:
        feed["class_id"] = np.array([7])
    w = mapping.run(None, feed)[0]
    began = time.perf_counter()
    synthesis = cpu_session(folder / "synthesis.onnx", threads=0)
    loaded = time.perf_counter()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        image = synthesis.run(None, {"w": wanted["w"]})[0]
        times.append(time.perf_counter() - start)
    return {
        "load_s": loaded - began,
        "seconds": min(times[1:]),
        "w_error_sd": float(np.abs(w - wanted["w"]).max() / wanted["w"].std()),
        "image_error_sd": float(np.abs(image - wanted["image"]).max() / wanted["image"].std()),
        "image_sd": float(wanted["image"].std()),
        "onnxruntime": onnxruntime.__version__,
    }


def _table(found: list[dict[str, Any]]) -> str:
    rows = [
        "| network | parameters | file | export | peak | torch | peak | ORT load | ORT | peak | error (SD): w, image |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        export, torch, ort = (one[step] for step in STEPS)
        cells = (
            one["network"] + (" half" if one["half"] else ""),
            f"{export['n_parameters'] / 1e6:.1f} M",
            f"{export['synthesis_mb']:.0f} MB",
            f"{export['seconds']:.1f} s",
            f"{export['peak_mb'] / 1e3:.1f} GB",
            f"{torch['seconds']:.1f} s",
            f"{torch['peak_mb'] / 1e3:.1f} GB",
            f"{ort['load_s']:.1f} s",
            f"{ort['seconds']:.1f} s",
            f"{ort['peak_mb'] / 1e3:.1f} GB",
            f"{ort['w_error_sd']:.1e}, {ort['image_error_sd']:.1e}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
