"""Runs in this worker's memory: their slots, their code, their steps and waits, and how they leave."""
