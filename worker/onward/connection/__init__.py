"""The connection to the engine: dialled from here, kept, resumed."""
