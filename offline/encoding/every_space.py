"""All feature spaces fitted to the same responses: scores, and on demand windows, RSA and the joint model.

What ``b2g-offline encode`` and the reproduction do with features and responses once they have them. A kernel serves
all electrodes and windows. Knows no files, figures or ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.encoding.array_library import Dtype
from offline.encoding.dissimilarity import space_dissimilarity
from offline.encoding.encode import Rule, SpacePrediction, encode_space
from offline.encoding.joint_encoding import JointScores, joint_encoding, n_models
from offline.encoding.kernels import Kernels, linear_kernels, n_pieces
from offline.encoding.responses import EncodingResponses, roi_window_of
from offline.encoding.rsa import RsaScores, compare_rois
from offline.encoding.scores import EncodingScores, score_encoding
from offline.encoding.shared_values import sharing
from offline.encoding.space_reading import rows_in
from offline.encoding.time_resolved import (
    TimeResolvedScores,
    check_windows,
    flattened,
    score_over_time,
)
from offline.features.feature_space import FeatureSpace
from offline.scheduling.workers import Workers
from offline.stages import Stage


@dataclass(frozen=True, slots=True)
class Fitting:
    """How spaces are fitted.

    Attributes
    ----------
    rule : {'cross_validation', 'degrees_of_freedom'}
    dtype : {'float32', 'float64'}
    device : str
        See ``encode_space``.
    workers : Workers, optional
    memory : int, optional
        Bytes that products of features may take in each process.
    """

    rule: Rule = "cross_validation"
    dtype: Dtype = "float32"
    device: str = "cpu"
    workers: Workers | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSpaces:
    """What was found.

    Attributes
    ----------
    scores : EncodingScores
        Of the ROI windows.
    predicted : float32, axes (space, test stimulus, channel)
    fits : tuple of SpacePrediction, axes (space,)
    targets : tuple of int arrays, axes (space,)
        Which targets of a fit are the electrodes' responses in their ROI's window.
    time : TimeResolvedScores, optional
    """

    scores: EncodingScores
    predicted: NDArray[np.float32] = field(repr=False)
    fits: tuple[SpacePrediction, ...] = field(repr=False)
    targets: NDArray[np.intp] = field(repr=False)
    time: TimeResolvedScores | None = None


def encode_spaces(
    spaces: Sequence[FeatureSpace],
    responses: EncodingResponses,
    fitting: Fitting,
    stage: Stage,
    keep_kernels: Callable[[str, Kernels], None] | None = None,
) -> EncodedSpaces:
    """Fit every space to every electrode, and where responses have windows to each of them; score test stimuli.

    Parameters
    ----------
    spaces : sequence of FeatureSpace
        Lowest of the hierarchy first.
    responses : EncodingResponses
    fitting : Fitting
    stage : Stage
        Progress.
    keep_kernels : callable, optional
        See ``encode_space``.

    Raises
    ------
    EncodingError
        Spaces of the same name, a stimulus without features, too few stimuli, or features that do not vary.
    WindowError
        Free windows, or responses of another number of them.
    ConfigError
        Too little memory.
    """
    names = [space.name for space in spaces]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EncodingError(
            f"features: {', '.join(sorted(twice))} comes twice, expected names that differ. Give one of the files."
        )
    for space in spaces:
        # Before the first fit, which may take long.
        rows_in(space, (*responses.train_ids, *responses.test_ids))
    channels, over_time = responses.channels, responses.over_time
    what = f"{len(names)} feature spaces on {len(responses.train_ids)} trials of {channels.n_channels} electrodes"
    training, targets, n_windows = responses.train, np.arange(channels.n_channels), 1
    if over_time is not None:
        for values in (over_time.train, over_time.test):
            check_windows(over_time.windows, values, channels)
        # The ROI windows of the paper are three of its nine, so one fit serves both.
        training, n_windows = flattened(over_time.train), over_time.windows.n_windows
        targets += roi_window_of(channels) * channels.n_channels
        what += f", {n_windows} windows"
    done = stage(what, sum(map(n_pieces, spaces)))
    groups = sharing(fitting.rule, channels, n_windows)
    fits = [
        encode_space(
            space,
            responses.train_ids,
            responses.test_ids,
            training,
            rule=fitting.rule,
            groups=groups,
            dtype=fitting.dtype,
            device=fitting.device,
            workers=fitting.workers,
            memory=fitting.memory,
            progress=done,
            keep_kernels=keep_kernels,
        )
        for space in spaces
    ]
    time = None
    if over_time is not None:
        time = score_over_time(
            names,
            [fit.predicted for fit in fits],
            over_time.test,
            channels,
            over_time.windows,
            [fit.lam for fit in fits],
            over_time.ceiling,
        )
    predicted = np.stack([fit.predicted[:, targets] for fit in fits])
    lam = np.stack([fit.lam[targets] for fit in fits])
    scores = score_encoding(
        names, predicted, responses.test, responses.channels, responses.ceiling, lam
    )
    return EncodedSpaces(scores, predicted, tuple(fits), targets, time)


def joint_scores(
    spaces: Sequence[FeatureSpace],
    responses: EncodingResponses,
    fitting: Fitting,
    stage: Stage,
    kernels: Mapping[str, Kernels] | None = None,
) -> JointScores:
    """Fit all spaces together and all but each, see ``joint_encoding``.

    Parameters
    ----------
    spaces, responses, fitting, stage
        See ``encode_spaces``.
    kernels : mapping of space to Kernels, optional
        Those that ``encode_spaces`` made of the same responses; others, of narrow spaces, are made.
    """
    kernels = kernels or {}
    done = stage("joint model: kernels", sum(map(n_pieces, spaces)))
    of_space = {}
    for space in spaces:
        if space.name in kernels:
            of_space[space.name] = kernels[space.name]
            done(n_pieces(space))
            continue
        of_space[space.name] = linear_kernels(
            space,
            rows_in(space, responses.train_ids),
            rows_in(space, responses.test_ids),
            dtype=fitting.dtype,
            device=fitting.device,
            workers=fitting.workers,
            memory=fitting.memory,
            progress=done,
        )
    n = n_models(len(spaces))
    return joint_encoding(
        of_space,
        responses.train,
        responses.test,
        responses.channels,
        responses.ceiling,
        train_ids=responses.train_ids,
        dtype=fitting.dtype,
        device=fitting.device,
        workers=fitting.workers,
        progress=stage(f"joint model: {n} models", n),
    )


def rsa_scores(
    spaces: Sequence[FeatureSpace], responses: EncodingResponses, fitting: Fitting, stage: Stage
) -> RsaScores:
    """Compare every ROI's dissimilarities of test stimuli with every space's, see ``compare_rois``."""
    done = stage("RSA", len(spaces) + 1)
    matrices = {}
    for space in spaces:
        rows = rows_in(space, responses.test_ids)
        matrices[space.name] = space_dissimilarity(space, rows, workers=fitting.workers)
        done(1)
    found = compare_rois(
        matrices, responses.repetitions, responses.channels, workers=fitting.workers
    )
    done(1)
    return found
