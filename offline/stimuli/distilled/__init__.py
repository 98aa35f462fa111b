"""The shipped small generator: a StyleGAN3 network that learnt to draw what the procedural renderer draws.

`plan` says what is trained and for how long; `pictures` makes the targets; `training_network` is the network as it is
trained (on face parameters, growing) and how it becomes an ordinary generator; `losses` compares pictures;
`training` is the loop and `checkpoint` its memory; `latent_mapping` makes the network from z to w; `evaluation` and
`sheets` judge the result; `weights/` holds it.
"""
