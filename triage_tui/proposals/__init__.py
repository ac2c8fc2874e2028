"""From a hypothesis to rule files that a person can approve."""
