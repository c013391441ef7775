"""Durable state behind one port: the semantic operations once, over row primitives that each store implements."""
