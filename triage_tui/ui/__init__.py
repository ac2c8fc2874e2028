"""The terminal application: screens, panes and widgets over the same calls that the commands use."""
