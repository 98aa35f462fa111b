"""A copy of a bundle that draws with another generator; decoder, statistics and stimuli stay as they are."""

from __future__ import annotations

from pathlib import Path

from b2g_rt.contracts.bundle import FILES, ModelBundle, npz_bytes
from offline.export.bundle_writing import written
from offline.export.generator_onnx import OnnxGenerator


def with_generator(
    source: ModelBundle,
    generator: bytes,
    out: Path,
    *,
    sources: dict[str, str] | None = None,
    about: str = "",
) -> str:
    """Write the copy and return its hash.

    Parameters
    ----------
    source : ModelBundle
    generator : bytes
        ONNX file with fixed shapes, see ``fixed_shapes``.
    out : Path
        Directory of the copy; its name is the new bundle's.
    sources : dict of path to SHA-256, optional
        What the copy is made of, instead of what its source is.
    about : str
        Which generator it is; goes into the copy's provenance.

    Raises
    ------
    BundleError
        The generator gives no picture, or the copy cannot be written.
    """
    runtime = OnnxGenerator(generator, source.manifest.n_latents)
    reference = source.reference()
    manifest = source.manifest.model_dump(exclude={"schema_version", "files"})
    manifest |= {"name": out.resolve().name, "image": runtime.image.model_dump()}
    if sources is not None:
        manifest["sources"] = sources
    if about:
        manifest["training"] = {**manifest["training"], "generator": about}
    files = {name: source.file(name).read_bytes() for name in FILES}
    files["generator.onnx"] = generator
    trial = {"trial": reference.trial} if source.manifest.decoder_state else {}
    files["reference.npz"] = npz_bytes(
        features=reference.features,
        window_idx=reference.window_idx,
        latents=reference.latents,
        w=reference.w,
        images=runtime.render(reference.w),
        **trial,
    )
    return written(out, manifest, files)
