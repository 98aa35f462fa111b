"""What the commands of b2g-rt do; cli.py only parses and prints."""
