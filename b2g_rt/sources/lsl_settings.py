"""A private corner of LSL: streams of one demo or one test run see each other and nobody else.

liblsl reads its settings once, when it is first used, from the file that the environment variable
``LSLAPICFG`` names. So this module must run before the library loads, and it neither imports
pylsl nor any module that does. Child processes inherit the variable and so the corner.

What the file sets and why:

- machine scope, and 127.0.0.1 as known peer: works where multicast is blocked, and leaves the
  network alone;
- a session id of its own: streams of another session are never resolved, although both sit on the
  same ports;
- a port range wider than liblsl's 32: about fifteen outlets on one host fill those, and the
  library then moves to random ports where a known peer is not asked (sccn/liblsl#147). Asking
  1024 ports instead of 32 costs a few milliseconds per resolve.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from b2g_rt.errors import LslAlreadyLoaded

ENVIRONMENT_VARIABLE = "LSLAPICFG"
BASE_PORT = 16572
PORT_RANGE = 1024

_TEMPLATE = """\
; Written by b2g_rt: a private LSL session on this machine. Delete it freely.
[ports]
BasePort = {base_port}
PortRange = {port_range}
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session_id}
[log]
level = {log_level}
"""


def use_private_lsl(directory: Path, session_id: str | None = None) -> Path:
    """Write a private LSL configuration and point liblsl of this process and its children to it.

    Parameters
    ----------
    directory : Path
        Where the file goes; made when missing. It must live as long as the processes that use it.
    session_id : str, optional
        Processes with the same id see each other's streams. Drawn at random when not given.

    Returns
    -------
    Path
        The absolute path of the file written, now the value of ``LSLAPICFG``.

    Raises
    ------
    LslAlreadyLoaded
        pylsl is already imported in this process, so the settings would be ignored.
    ValueError
        `session_id` is empty (then liblsl joins everybody else) or holds anything but letters,
        digits, ``-`` and ``_`` (then liblsl may cut or misread it without a word).
    """
    if "pylsl" in sys.modules:
        raise LslAlreadyLoaded(
            "LSL settings: pylsl is already loaded, and liblsl reads its settings only once. "
            "Call use_private_lsl before anything imports pylsl."
        )
    if session_id is None:
        session_id = f"b2g-{secrets.token_hex(8)}"
    if not session_id or not all(c.isascii() and (c.isalnum() or c in "-_") for c in session_id):
        raise ValueError(
            f"LSL settings: session id {session_id!r} found, letters, digits, - and _ expected."
        )
    directory.mkdir(parents=True, exist_ok=True)
    path = (directory / f"lsl_api-{session_id}.cfg").resolve()
    path.write_text(
        _TEMPLATE.format(
            base_port=BASE_PORT, port_range=PORT_RANGE, session_id=session_id, log_level=-2
        ),
        encoding="utf-8",
    )
    os.environ[ENVIRONMENT_VARIABLE] = str(path)
    return path
