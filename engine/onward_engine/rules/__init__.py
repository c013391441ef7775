"""The decisions of the engine: values in, values out; no clock, no randomness, no database."""
