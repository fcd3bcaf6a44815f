"""The fold: one processor per sport turns canonical messages into events, their `rev`s and the change log."""
