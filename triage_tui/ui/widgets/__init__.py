"""The few drawing widgets that everything else is made of."""
