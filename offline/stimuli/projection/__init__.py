"""Photographs into w: the latent whose picture comes closest to a given one."""
