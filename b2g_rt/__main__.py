"""``python -m b2g_rt`` is ``b2g-rt``."""

from b2g_rt.cli import main

if __name__ == "__main__":
    main()
