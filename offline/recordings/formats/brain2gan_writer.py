"""Brain2GAN's files: a .mat with one response per stimulus, and beside it the pickle of the latents.

``train_MUA`` and ``test_MUA``, axes (stimulus, column) as h5py sees them, in z units of each day's test trials;
columns as in the recording, dead ones 0. Rows are the stimuli in the order of their ids, which stand beside them as
``train_stimulus`` and ``test_stimulus``. Days, repetitions and time are gone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import SessionError
from offline.recordings.formats.mat_writer import mat_file, put, put_texts
from offline.recordings.formats.reader import RecordingReader, one_line
from offline.recordings.stimulus_responses import StimulusResponses, stimulus_responses
from offline.whole_files import whole_file

if TYPE_CHECKING:
    import h5py

PICKLE_PROTOCOL = 4


def write_brain2gan(
    readers: Sequence[RecordingReader], path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write recordings of one animal.

    Parameters
    ----------
    readers : sequence of RecordingReader
        See ``stimulus_responses``. Where they know all latents, these go to the pickle.
    path : Path
        Ends in .mat; existing files are replaced once the new ones are whole.
    progress : callable, optional
        Called with the number of samples done since the last call.

    Raises
    ------
    SessionError
        See ``stimulus_responses``; or the files cannot be written.
    """
    found = stimulus_responses(readers, progress)
    channels = readers[0].channels
    latents = latents_by_id(readers)
    try:
        with mat_file(path) as file:
            put(file, "train_MUA", all_columns(found.train, channels))
            put(file, "test_MUA", all_columns(found.test, channels))
            write_stimuli(file, found)
            if latents is not None and all(s in latents for s in found.train_ids + found.test_ids):
                train = np.stack([latents[s] for s in found.train_ids])
                test = np.stack([latents[s] for s in found.test_ids])
                write_latents(latents_path(path), train, test)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def write_latents(path: Path, train: NDArray[np.float32], test: NDArray[np.float32]) -> None:
    """Write a pickle of latents, axes (stimulus, latent), as the notebooks do."""
    with whole_file(path) as part, part.open("wb") as file:
        latents = {
            name: np.ascontiguousarray(values, np.float32)
            for name, values in (("train", train), ("test", test))
        }
        pickle.dump(latents, file, protocol=PICKLE_PROTOCOL)


def latents_path(path: Path) -> Path:
    """Return where the latents of a .mat file go: StyleGAN3_MUA.mat has StyleGAN3_w.pickle beside it."""
    return path.with_name(f"{path.stem.removesuffix('_MUA')}_w.pickle")


def latents_by_id(readers: Sequence[RecordingReader]) -> dict[str, NDArray[np.float32]] | None:
    """Return the latents by stimulus id, or None where a recording knows none."""
    known: dict[str, NDArray[np.float32]] = {}
    for reader in readers:
        stimuli = reader.stimuli()
        if stimuli is None:
            return None
        known.update(zip(*stimuli, strict=True))
    return known


def all_columns(responses: NDArray[np.float32], channels: ChannelMap) -> NDArray[np.float32]:
    """Return channels as columns of the stream, axes (..., column); dead ones are 0."""
    columns = np.zeros((*responses.shape[:-1], channels.n_stream_channels), np.float32)
    columns[..., channels.stream_idx] = responses
    return columns


def write_stimuli(file: h5py.File, found: StimulusResponses) -> None:
    """Write the ids of the rows beside them."""
    put_texts(file, "train_stimulus", found.train_ids)
    put_texts(file, "test_stimulus", found.test_ids)
