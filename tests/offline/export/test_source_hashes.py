from __future__ import annotations

from offline.export.source_hashes import code_hash, source_hashes

CODE = '''"""Doc."""
A = 1  # why
"""About A."""


def f(x: int) -> int:
    """Double."""
    return 2 * x
'''


def test_comments_docstrings_and_layout_do_not_change_the_hash():
    other = "A=1\ndef f( x:int )->int:\n  # because\n  return 2*x\n"
    assert code_hash(CODE) == code_hash(other)


def test_a_number_changes_the_hash():
    assert code_hash(CODE) != code_hash(CODE.replace("2 * x", "3 * x"))


def test_the_hash_is_the_same_on_every_python():
    # Pinned: a bundle made on one Python is checked on another.
    assert code_hash(CODE)[:16] == "969418707cb1b72a"


def test_simulator_windows_mua_chain_and_renderer_are_among_the_sources():
    names = set(source_hashes())
    assert {
        "b2g_rt/simulation/macaque.py",
        "b2g_rt/simulation/noise.py",
        "b2g_rt/mua/normaliser.py",
        "b2g_rt/contracts/windows.py",
        "offline/stimuli/faces/face_renderer.py",
    } <= names
    assert not any(name.endswith("__init__.py") for name in names)
