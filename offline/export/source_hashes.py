"""Hashes of the code that a bundle depends on: the simulated macaque, the MUA chain, windows, the renderer.

A bundle trained on the simulator is worth nothing once the simulator changes. Its manifest therefore names the
hash of every source file it was made with, and a test compares them. Comments, docstrings and layout do not
count: hashed is the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import b2g_rt

ROOT = Path(b2g_rt.__file__).resolve().parent.parent

BRAIN = (
    "b2g_rt/contracts/channels.py",
    "b2g_rt/contracts/samples.py",
    "b2g_rt/contracts/windows.py",
    "b2g_rt/mua/*.py",
    "b2g_rt/simulation/*.py",
)
PICTURES = ("offline/stimuli/faces/*.py",)
BEND = ("offline/stimuli/distilled/face_latents.py",)
DISTILLED = "offline/stimuli/distilled/weights/generator.safetensors"
# These change neither a sample nor a pixel.
LEFT_OUT = ("__init__.py", "from_record.py", "session_writer.py")


def source_hashes(patterns: tuple[str, ...] = BRAIN + PICTURES) -> dict[str, str]:
    """Return the hash of each source file, by its path from the repository's root.

    Parameters
    ----------
    patterns : tuple of str
        Globs from the root.

    Returns
    -------
    dict of path to SHA-256, sorted by path
    """
    files = {path for pattern in patterns for path in ROOT.glob(pattern)}
    kept = sorted(path for path in files if path.name not in LEFT_OUT)
    return {path.relative_to(ROOT).as_posix(): code_hash(path.read_text("utf-8")) for path in kept}


def distilled_sources() -> dict[str, str]:
    """Return the hashes of what the distilled bundle depends on: the brain's code, the bend, the network's weights."""
    weights = hashlib.sha256((ROOT / DISTILLED).read_bytes()).hexdigest()
    return {**source_hashes(BRAIN + PICTURES + BEND), DISTILLED: weights}


def code_hash(source: str) -> str:
    """Return the SHA-256 of a module's syntax tree without docstrings; the same on every Python version."""
    return hashlib.sha256(_canonical(ast.parse(source)).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Write a tree as text. Not ``ast.dump``: that writes empty fields differently from version to version."""
    if isinstance(value, list):
        return f"[{','.join(_canonical(v) for v in value)}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = dict(ast.iter_fields(value))
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = [node for node in value.body if not _is_text(node)]
    filled = (
        f"{k}={_canonical(v)}" for k, v in sorted(fields.items()) if v is not None and v != []
    )
    return f"{type(value).__name__}({','.join(filled)})"


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
