"""Pictures of the shipped generators, found again by ``b2g-offline project``, and how well.

    .venv/bin/python benchmarks/projection.py                      # both, 8 pictures each, psi 0.7
    .venv/bin/python benchmarks/projection.py distilled-faces --pictures 4 --json

For every picture: PSNR; how many directions of w it depends on (rank of the Jacobian at the true w: directions along
which one SD of w changes the picture by at least the threshold, in grey levels RMS); the cosine of found and true w
within these, raw and about w_avg; beside it the raw cosine of w_avg itself (about w_avg it has none). Pictures go
through 8 bits, as a file would. Latents of the pictures are drawn from another seed than the starts. The last line
says whether every picture reaches what is asked: PSNR >= 30 dB, both cosines >= .95; the exit status is 1 where not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median

import torch

from offline.stimuli.generators import SHIPPED, PictureGenerator, open_generator
from offline.stimuli.projection.directions import (
    THRESHOLD,
    cosine_within,
    picture_directions,
)
from offline.stimuli.projection.optimise import (
    project_batch,
    projection_settings,
    start_pictures,
)
from offline.stimuli.projection.start import anchors, latent_distribution
from offline.stimuli.projection.targets import as_target
from offline.stimuli.stylegan.filtered_activation import use_fused_activations
from offline.stimuli.stylegan.generator import to_uint8

SEED = 20_261
PSI = 0.7
ASKED = {"psnr_db": 30.0, "raw": 0.95, "centred": 0.95}


def drawn(generator: PictureGenerator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return true latents (n, latent) and their pictures (n, 3, row, col), rounded to 8 bits."""
    z = torch.randn((n, generator.z_dim), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        w = generator.mapping(z, None, PSI)[:, 0]
        pictures = torch.cat([to_uint8(generator.synthesis(one[None, None])) for one in w])
    return w, torch.from_numpy(as_target(list(pictures.numpy())))


def found_again(name: str, args: argparse.Namespace) -> dict:
    generator = open_generator(name)
    use_fused_activations(generator.synthesis)
    settings = projection_settings(
        n_steps=args.steps, n_starts=args.starts, n_polish=args.polish, per_layer=args.per_layer
    )
    truth, target = drawn(generator, args.pictures)
    began = time.perf_counter()
    distribution = latent_distribution(generator, seed=settings.seed)
    starts = start_pictures(generator, [], settings)
    rows = []
    for first in range(0, args.pictures, args.batch):
        part = slice(first, min(first + args.batch, args.pictures))
        anchor = anchors(generator, [None] * (part.stop - part.start))
        found = project_batch(generator, distribution, target[part], anchor, starts, settings)
        latents = found.w.mean(dim=1)
        for i in range(part.stop - part.start):
            rows.append(
                {
                    "psnr_db": found.psnr_db[i].item(),
                    "start": int(found.start_idx[i]),
                    "found": latents[i],
                    "truth": truth[first + i],
                }
            )
        tell(
            f"{name}: {len(rows)} of {args.pictures} found after {time.perf_counter() - began:.0f} s"
        )
    seconds = (time.perf_counter() - began) / args.pictures
    for row in rows:
        row.update(compared(generator, distribution, row.pop("found"), row.pop("truth"), args))
    return {
        "generator": name,
        "generator_sha256": generator.digest,
        "resolution": generator.resolution,
        "latents": generator.w_dim,
        "psi": PSI,
        "threshold_grey_levels": args.threshold,
        "seconds_per_picture": seconds,
        "threads": torch.get_num_threads(),
        "settings": settings.to_dict(),
        "pictures": rows,
    }


def compared(
    generator: PictureGenerator,
    distribution,
    found: torch.Tensor,
    truth: torch.Tensor,
    args: argparse.Namespace,
) -> dict:
    directions = picture_directions(
        generator.synthesis, truth, distribution, threshold=args.threshold
    )
    basis, mean = directions.basis, generator.w_avg
    every = torch.eye(len(truth))
    return {
        "rank": directions.rank,
        "raw": cosine_within(basis, found, truth),
        "centred": cosine_within(basis, found - mean, truth - mean),
        "w_avg_raw": cosine_within(basis, mean, truth),
        "raw_everywhere": cosine_within(every, found, truth),
        "w_avg_raw_everywhere": cosine_within(every, mean, truth),
        "sensitivity_grey_levels": [round(s, 3) for s in directions.sensitivity.tolist()[:128]],
    }


COLUMNS = (
    ("psnr_db", "PSNR dB", "6.1f"),
    ("rank", "rank", "4d"),
    ("raw", "raw", "6.3f"),
    ("centred", "centred", "7.3f"),
    ("w_avg_raw", "w_avg raw", "9.3f"),
    ("raw_everywhere", "raw, all of w", "13.3f"),
    ("w_avg_raw_everywhere", "w_avg, all of w", "15.3f"),
    ("start", "start", "5d"),
)


def table(result: dict) -> str:
    lines = [
        f"{result['generator']}: {result['resolution']} px, psi {result['psi']}, {result['latents']} latents; "
        f"directions count from {result['threshold_grey_levels']} grey levels per SD; "
        f"{result['seconds_per_picture']:.0f} s per picture, {result['threads']} threads",
        "picture  " + "  ".join(title for _, title, _ in COLUMNS),
    ]
    rows = result["pictures"]
    for i, row in enumerate(rows):
        lines.append(f"{i + 1:7d}  " + "  ".join(_cell(row[k], t, f) for k, t, f in COLUMNS))
    for what, of in (("median", median), ("least", min)):
        cells = [_cell(of(r[k] for r in rows), t, f) for k, t, f in COLUMNS[:-1]]
        lines.append(f"{what:>7}  " + "  ".join(cells))
    asked = ", ".join(f"{key} >= {least:g}" for key, least in ASKED.items())
    n = sum(reached(row) for row in rows)
    lines.append(f"{n} of {len(rows)} pictures reach what is asked ({asked})")
    return "\n".join(lines)


def reached(row: dict) -> bool:
    return all(row[key] >= least for key, least in ASKED.items())


def _cell(value: float, title: str, form: str) -> str:
    form = form if not form.endswith("d") else form[:-1] + ".0f"
    return f"{value:{form}}".rjust(len(title))


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generators", nargs="*", default=list(SHIPPED))
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--starts", type=int)
    parser.add_argument("--polish", type=int)
    parser.add_argument("--per-layer", action="store_true")
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    results = [found_again(name, args) for name in args.generators]
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        print("\n\n".join(table(result) for result in results))
    sys.exit(0 if all(reached(row) for result in results for row in result["pictures"]) else 1)


if __name__ == "__main__":
    main()
