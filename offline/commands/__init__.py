"""What the commands of b2g-offline do, one file each; `offline/cli.py` registers them."""
