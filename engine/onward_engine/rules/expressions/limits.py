"""How large an expression may be and how long it may take. Whatever holds this engine's transaction is bounded."""

SOURCE_CHARS_MAX = 4096
"""A screen full of conditions. A longer list of values belongs into the function's code."""

DEPTH_MAX = 50
"""Each level is a Python call at evaluation. CEL asks implementations for at least 12 to 32."""

STEPS_MAX = 10_000
"""About a millisecond. One step is one operation. Only macros, long texts and long lists take more than a few."""

PATTERN_NODES_MAX = 500
"""What `matches` may have to look at for each character."""

CHARS_PER_STEP = 64
"""How much of a text is searched or copied in the time of one operation."""
