"""Pure: evidence goes in, a verdict comes out."""
