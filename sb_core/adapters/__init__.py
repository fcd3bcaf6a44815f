"""Adapters: the ports of `sb_core.ports` on real things. Nothing foreign (driver, error, type) leaves this package."""
