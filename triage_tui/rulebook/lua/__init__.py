"""Lua text as the checks need it: tokens, syntax tree, values, canonical form."""
