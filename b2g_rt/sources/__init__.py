"""Where samples come from: LSL inlets, recorded files; and the player, which sends them."""
