"""`worker doctor`: the way from here to the engine, looked at step by step, and what to do where it ends."""
