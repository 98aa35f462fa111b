"""What a network makes of pictures, as a feature file: ``features --network``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from offline.commands.console import command_line, say
from offline.stages import Stage

if TYPE_CHECKING:
    from offline.features.extraction import NetworkOpener
    from offline.features.pictures import StimulusPicture
    from offline.features.store import FeatureFile

BATCH_CPU, BATCH_CUDA = 4, 32


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """Which network, as the options of the command say; see ``opening.open_network``.

    Attributes
    ----------
    name : str
    layers : tuple of str, optional
    weights : Path, optional
    paper : bool
    device : {'auto', 'cpu', 'cuda'}
    random_seed, side : int, optional
    """

    name: str
    layers: tuple[str, ...] | None
    weights: Path | None
    paper: bool
    device: str
    random_seed: int | None
    side: int | None

    def opener(self, device: str) -> NetworkOpener:
        """Return what opens it, here and in the processes of workers: a path is one from the root."""
        from offline.features.extraction import NetworkOpener
        from offline.features.opening import open_network

        return NetworkOpener(
            partial(
                open_network,
                self.name,
                weights=self.weights.absolute() if self.weights else None,
                device=device,
                layers=self.layers,
                paper=self.paper,
                random_seed=self.random_seed,
                side=self.side,
            )
        )


def network_features(
    sources: list[Path],
    choice: NetworkChoice,
    out: Path,
    *,
    batch: int | None,
    counted: bool,
    scheduler: str | None,
    memory: str,
    stage: Stage,
) -> tuple[FeatureFile, list[StimulusPicture]]:
    """Compute the features of pictures; return the file and the pictures.

    Parameters
    ----------
    sources : list of Path
        See ``find_pictures``.
    choice : NetworkChoice
    out : Path
    batch : int, optional
        Pictures at a time.
    counted : bool
        Whether ids count as responses do.
    scheduler : str, optional
    memory : str
        See ``open_resources``.
    stage : Stage

    Raises
    ------
    B2GError
        See ``open_network``, ``find_pictures``, ``extract`` and ``open_resources``.
    """
    from offline.features.extraction import extract
    from offline.features.pictures import check_readable, find_pictures
    from offline.scheduling.resources import open_resources
    from offline.stimuli.devices import device_named

    device = device_named(choice.device).type
    opener = choice.opener(device)
    # First, because it says what is missing; the hashes of thousands of pictures take longer.
    opener.network()
    pictures = find_pictures(sources)
    if counted:
        pictures = _counted(pictures)
    check_readable(pictures, stage(f"looking into {len(pictures)} pictures", len(pictures)))
    with open_resources(scheduler, memory, near=out) as resources:
        try:
            made = extract(
                pictures,
                opener,
                out,
                batch=batch or (BATCH_CUDA if device == "cuda" else BATCH_CPU),
                device=device,
                workers=resources.workers,
                memory=resources.memory,
                command=command_line(),
                stage=stage,
            )
        except KeyboardInterrupt:
            say(f"what is finished is kept in {out}: the same command goes on")
            raise
    return made, pictures


def _counted(pictures: list[StimulusPicture]) -> list[StimulusPicture]:
    from offline.recordings.formats.responses import counted_ids

    ids = counted_ids([p.id for p in pictures], [p.split for p in pictures])
    return [replace(picture, id=i) for picture, i in zip(pictures, ids, strict=True)]
