"""The MUA chain, shared by both wings: what happens to samples between the source and the windows."""
