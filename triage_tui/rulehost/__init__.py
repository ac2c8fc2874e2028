"""The process in which Lua rules run, and its client in the supervisor."""
