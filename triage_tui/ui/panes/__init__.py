"""One pane per view of an intervention; what they show is built by plain functions, a widget draws it."""
