"""The simulated macaque: latents, tuned electrodes, noise, protocol, and sessions made of them.

Hall code for both wings: numpy only (h5py where a session is written), one seed, ground truth
at hand.
"""
