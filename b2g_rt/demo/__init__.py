"""The main job on the embedded default: simulate, replay over LSL, decode, show, sum up."""
