"""The sheet beside a feature file, for people who look: the first pictures, and what each level makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline.features.pictures import StimulusPicture
    from offline.features.store import FeatureFile


def write_sheet(made: FeatureFile, pictures: Sequence[StimulusPicture]) -> Path:
    """Write ``faces.png`` beside ``faces.zarr``; return its path.

    Parameters
    ----------
    made : FeatureFile
    pictures : sequence of StimulusPicture
        The first stimuli of the file.

    Raises
    ------
    FeatureError
        The file cannot be read, or the disk is full.
    """
    import numpy as np

    from offline.evaluation.report.feature_sheet import MAX_SPACES, SheetLevel, feature_sheet
    from offline.features.pictures import decoded, file_bytes
    from offline.features.store_writing import cannot_write
    from offline.whole_files import write_whole

    rows = np.arange(len(pictures))
    spaces = [made.space(name) for name in made.spaces]
    levels = [
        SheetLevel(space.name, space.shape, space.block(rows, slice(None)))
        for space in spaces[:MAX_SPACES]
    ]
    provenance = made.attributes["provenance"]
    data = feature_sheet(
        f"{provenance['network']}: {len(made.ids)} stimuli",
        made.ids[: len(pictures)],
        [decoded(picture, file_bytes(picture)) for picture in pictures],
        levels,
        n_more=len(spaces) - len(levels),
    )
    path = made.path.with_suffix(".png")
    try:
        write_whole(path, data)
    except OSError as error:
        raise cannot_write(path, error) from None
    return path
