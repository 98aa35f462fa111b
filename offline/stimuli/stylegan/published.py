"""The published StyleGAN3 and StyleGAN-XL networks by name, as specifications.

A table to check against and to build full-size networks from when no file is at hand. A checkpoint is never forced
into it: the importer reads every number from the file, and where the file differs from the table it says so.

What is known, and from where:

- StyleGAN3, widths: the documentation of github.com/NVlabs/stylegan3 (`docs/train-help.txt`: channel base 32768, at
  most 512 channels; `docs/configs.md`: the networks at 512 and 1024 px use these, ffhqu-256 half the base), training
  logs in its issues 49, 74 and 229 (config R doubles both: 65536, 1024). They agree with the parameter counts of the
  paper for 1024 px (22.3 million for T).
- StyleGAN-XL, depths: README of github.com/autonomousvision/stylegan-xl (stem of 16 px with 10 layers, heads of 7)
  and this project's facts for imagenet512 (z 64, 1000 classes, table of 320, num_ws 37, which these depths give). Its
  issue 31 says that widths are doubled against StyleGAN3, issue 84 shows 1024 channels.
- NOT verified (``PublishedNetwork.unverified``), for no file was at hand: the kernel size (1) and the radial down
  filters of the StyleGAN-XL files, inferred from StyleGAN3-R; their widths and how their heads continue them. Of the
  XL networks of other data sets nothing is known but their size, which is why they are not here.

Must not know torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.schedule import Widths, stylegan3, superresolution
from offline.stimuli.stylegan.specification import GeneratorSpec, MappingSpec

STYLEGAN3_PAGE = "https://github.com/NVlabs/stylegan3"
STYLEGAN_XL_PAGE = "https://github.com/autonomousvision/stylegan-xl"


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """One entry of the table.

    Attributes
    ----------
    name : str
        The file's name without ``.pkl``.
    page : str
        Project page that says where the file is and under which licence.
    unverified : str
        What of the specification is inferred and was not compared with a file; empty where nothing is.
    """

    name: str
    page: str
    unverified: str = ""


_T = (32768, 512)  # channel_base, channel_max
_R = (65536, 1024)
_STYLEGAN3 = {
    f"stylegan3-{config}-{data}-{size}x{size}": (config, data, size)
    for config in "tr"
    for data, size in (
        ("ffhq", 1024),
        ("ffhqu", 1024),
        ("ffhqu", 256),
        ("metfaces", 1024),
        ("metfacesu", 1024),
        ("afhqv2", 512),
    )
}
_STEM_SIZE = 16
_STEM_LAYERS = 10
_HEAD_LAYERS = 7
_XL_UNVERIFIED = "kernel size, down filters, channel_base, channel_max"
_IMAGENET = {f"imagenet{size}": size for size in (16, 32, 64, 128, 256, 512, 1024)}

NETWORKS: dict[str, PublishedNetwork] = {
    **{name: PublishedNetwork(name, STYLEGAN3_PAGE) for name in _STYLEGAN3},
    **{name: PublishedNetwork(name, STYLEGAN_XL_PAGE, _XL_UNVERIFIED) for name in _IMAGENET},
}


@cache
def published(name: str) -> GeneratorSpec:
    """Return the specification of a published network, of which ``NETWORKS[name].unverified`` is inferred only.

    Parameters
    ----------
    name : str
        As in ``NETWORKS``, for example ``stylegan3-r-ffhq-1024x1024`` or ``imagenet512``.

    Raises
    ------
    GeneratorError
        No network of that name.
    """
    if name in _STYLEGAN3:
        return _stylegan3(name)
    if name in _IMAGENET:
        return _stylegan_xl(name)
    raise GeneratorError(
        f"published network {name}: none of that name, expected one of {', '.join(NETWORKS)}."
    )


def same_numbers(a: GeneratorSpec, b: GeneratorSpec) -> str | None:
    """Compare what pictures depend on.

    Returns
    -------
    str or None
        The first field that differs, with both values; None where all agree (names of networks are not compared).
    """
    one, other = a.to_dict(), b.to_dict()
    for key in one:
        if key in ("name", "schema_version", "layers"):
            continue
        if one[key] != other[key]:
            return f"{key}: {one[key]} and {other[key]}"
    if len(a.layers) != len(b.layers):
        return f"layers: {len(a.layers)} and {len(b.layers)}"
    for mine, theirs in zip(one["layers"], other["layers"], strict=True):
        for key, value in mine.items():
            if not _close(value, theirs[key]):
                return f"{mine['name']}: {key}: {value} and {theirs[key]}"
    return None


def _close(a: object, b: object) -> bool:
    # Cutoffs are powers computed by another library: equal to the last bits only.
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return a == b


def _stylegan3(name: str) -> GeneratorSpec:
    config, _, size = _STYLEGAN3[name]
    base, most = _R if config == "r" else _T
    if size == 256:
        base //= 2
    if config == "r":
        return stylegan3(name, Widths(size, base, most, conv_kernel=1, radial=True))
    return stylegan3(name, Widths(size, base, most))


def _stylegan_xl(name: str) -> GeneratorSpec:
    """Stem of 16 px, then one head for each doubling; kernel and filters are those of StyleGAN3-R, not verified."""
    spec = stylegan3(
        name,
        Widths(_STEM_SIZE, *_R, n_layers=_STEM_LAYERS, conv_kernel=1, radial=True),
        z_dim=64,
        n_classes=1000,
        mapping=MappingSpec(embedding="table", embedding_size=320),
    )
    while spec.resolution < _IMAGENET[name]:
        head = Widths(spec.resolution * 2, *_R, conv_kernel=1, radial=True)
        spec = superresolution(spec, head, _HEAD_LAYERS, name)
    return spec
