"""What is read and written in plain values: types, names, durations, paths."""
