"""The sports as the simulated world plays them: one module each, with a PLAY."""
