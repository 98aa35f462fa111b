"""How much of the encoding experiment is simulated, and from which seeds. Knows no files.

Not the paper's size: 1500 training pictures instead of 4000, and networks that see them at 96 pixels instead of 224,
so that the whole line runs in minutes on two processors. Test pictures are shown 20 times each as in the paper, but 200
of them instead of 100: over 100, r of neighbouring levels of one network differs by less than its error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from offline.recordings.formats.responses import response_ids
from offline.reproduction.plan import Part, ReproductionPlan

N_TRAINING, N_TEST, N_REPEATS = 1500, 200, 20
SIDE = 96
N_SHUFFLES = 20


@dataclass(frozen=True, slots=True)
class TunedNetwork:
    """A network whose levels drive the animal.

    Attributes
    ----------
    name : str
        As ``open_network`` takes it.
    levels : tuple of str
        Lowest first.
    tuning : dict of ROI to space names
    random : bool
        Seeded random weights instead of trained ones.
    about : str
        For readers.
    """

    name: str
    levels: tuple[str, ...]
    tuning: dict[str, tuple[str, ...]]
    random: bool
    about: str


NETWORKS = (
    TunedNetwork(
        "vgg16",
        ("VGG1", "VGG2", "VGG3", "VGG4", "VGG5"),
        {"V1": ("VGG1",), "V4": ("VGG3",), "IT": ("VGG5", "w")},
        True,
        "VGG16 with seeded random weights",
    ),
    TunedNetwork(
        "efficientnet-lite0",
        ("Lite1", "Lite2", "Lite3", "Lite4", "Lite5"),
        {"V1": ("Lite1",), "V4": ("Lite3",), "IT": ("Lite5", "w")},
        False,
        "EfficientNet-Lite0 with its ImageNet weights",
    ),
)
"""Each drives an animal of its own; half of the electrodes of IT are tuned to w."""


@dataclass(frozen=True, slots=True)
class EncodingPlan(ReproductionPlan):
    """The size of the experiment and its seed.

    Attributes
    ----------
    side : int
        Pixels of the networks' input.
    n_shuffles : int
        How often training responses are given to other stimuli.
    drive : str
        SHA-256 of what drives the animal; '' before that is known.
    """

    side: int = SIDE
    n_shuffles: int = N_SHUFFLES
    drive: str = field(default="", repr=False)

    @classmethod
    def sized(cls, n_training: int = N_TRAINING, seed: int = 1) -> EncodingPlan:
        """Return the plan that is judged, of another number of training pictures at most."""
        return cls("faces", n_training, N_TEST, N_REPEATS, seed)

    @property
    def is_judged(self) -> bool:
        """Whether it has the sizes that claims are made for."""
        return replace(self, drive="") == EncodingPlan.sized(seed=self.seed)

    def ids(self, part: Part) -> list[str]:
        """Return the ids of a part's pictures: the names of their files."""
        n = self.n_training if part == "training" else self.n_test
        return response_ids("train" if part == "training" else "test", n)
