"""Rules for more than their own target: packs, stable sets and rollouts."""
