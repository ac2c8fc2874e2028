"""Figures for Prometheus, on an address of this machine, for as long as a command runs with `--metrics`.

`address` says where, `following` finds what is new in a directory of runs, `counting` and `spending` turn it
into figures, `labels` keeps their labels to fixed sets, `figures` declares them, `server` serves them.
Nothing is counted where it happens: all figures follow from the records, so that they agree with them.
"""
