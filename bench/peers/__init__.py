"""The same work on the peers: Restate, DBOS and Temporal, on this machine, in one run with the machine's primitives."""
