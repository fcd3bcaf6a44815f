"""The store's schema, for SQLite and for MySQL and MariaDB, as numbered Alembic migrations in `versions`.

The rules: a migration is never changed once released; it bears repetition, because MySQL commits DDL by itself; revisions
are the numbers 1, 2, 3, … in the order of the files. `sqlite.sql` is what all of them come to on SQLite, written by
`python -m sb_core.adapters.schema_versions`, so that the embedded store is made at once and without Alembic.
`log` is the embedded log's own schema, in numbered SQL files.
"""
