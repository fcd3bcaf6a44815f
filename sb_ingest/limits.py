"""Every bound that untrusted input meets, in one struct with units in the names.

The rule: a limit is checked before the memory is spent, and the code of its refusal is `too_large` or `too_deep`.
"""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on one request's input; the service fills them from its settings."""

    body_bytes_max: int = 8 * 1024 * 1024
    """Bytes of a body, before and after decompression."""
    gzip_ratio_max: int = 200
    """How many times its size a gzip body may become (small bodies are let through up to `gzip_free_bytes_max`)."""
    gzip_free_bytes_max: int = 256 * 1024
    items_max: int = 20_000
    """Documents of one body."""
    depth_max: int = 32
    """Nested arrays and objects of JSON, or elements of XML."""
    elements_max: int = 200_000
    attributes_max: int = 300_000


DEFAULT = Limits()
