"""The composition: every service in one process on embedded parts, and the `sb` command."""
