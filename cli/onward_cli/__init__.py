"""The `worker` command."""
