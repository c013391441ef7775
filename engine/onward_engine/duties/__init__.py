"""What the engine does without being asked, each duty in a file of its own."""
