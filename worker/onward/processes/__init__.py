"""Bodies of steps in processes of their own: for work that would keep the interpreter, and with it the worker, busy."""
