"""Plugins: shipped Lua that a rule file of constants configures (`plugin/nvram@ID.lua`)."""
