"""Ridge regression from inputs to targets, for decoders and encoders: folds, decompositions, the choice of lambda."""
