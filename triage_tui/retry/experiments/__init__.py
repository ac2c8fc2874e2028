"""Experiments on a run: what can be looked at to tell causes apart, carried out and learnt from."""
