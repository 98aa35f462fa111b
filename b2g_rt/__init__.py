"""b2g_rt shows what a brain sees while it sees it: MUA in through LSL, pictures out on a display.

Importing the package does nothing and is light: no torch, no Qt, no LSL.
"""

__version__ = "0.1.0"
