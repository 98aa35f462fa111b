"""What networks make of pictures: their layers' activations, and latents, as feature spaces of stimuli."""
