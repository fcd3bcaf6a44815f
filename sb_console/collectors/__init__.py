"""The collectors: they look at the pipeline and make observations. Only here does the console do input and output.

The rules: every round has a deadline; a source that is down is said to be, and costs the others nothing; all of it is
anyio on Trio, because the adapters are, in a thread of its own beside the screen.
"""
