"""The wire between workers and the engine: frames, codec, limits, and a session for each end.

Everything here is pure: bytes and moments go in, values and bytes come out. Import from the modules:

* `messages`: every frame and entry; `codec`: to bytes and back; `errors`, `limits`, `ids`
* `session`: `WorkerSession` and `EngineSession`, the two ends of a connection
* `window`: the numbers of a run's frames; `holdings`: the list of runs a worker holds, and its digest
* `lease`: when a worker may start a step; `states`: the table of legal moves

All other modules are the insides of a session.
"""
