"""Run the Lua of a whole rule directory of SFEmu with a guest of ours, inside the guest's cell."""
