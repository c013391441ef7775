"""User code as a function of one log: what it is delivered, in which order, and what of it may start."""
