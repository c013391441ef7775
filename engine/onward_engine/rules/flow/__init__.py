"""Flow control, as decisions over plain values: which runs share a limit, what it lets through, and who is next.

    event -> gates -> gathering -> rank -> limits -> claim

All state is rows of the store; nothing here reads a clock.
"""
