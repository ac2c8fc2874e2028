"""The terminal app in a browser on this machine: who may reach it, and one process of the app a tab.

textual-serve (an optional extra) brings the terminal of the page and the protocol between it and the app.
"""
