"""What faults need to know of a speaker's documents, and of recorded ones. Pure."""

from msgspec import structs

from sb_generator import captured
from sb_generator.faults import Handle
from sb_generator.speech import Spoken
from sb_generator.split import Document, Form


class SpokenHandle(Handle[Spoken]):
    """Of documents that a speaker makes for one provider."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def bytes_of(self, thing: Spoken) -> bytes:
        """Return the document."""
        return thing.data

    def ms_of(self, thing: Spoken) -> int:
        """Return when it is planned to go."""
        return thing.ms

    def provider_of(self, thing: Spoken) -> str:  # noqa: ARG002  the same for all
        """Return the speaker's provider."""
        return self._provider

    def struck(self, thing: Spoken, name: str, data: bytes, ms: int | None, *, broken: bool) -> Spoken:  # noqa: ARG002
        """Return the document with a mark."""
        return Spoken(data, thing.ms if ms is None else ms, thing.key, (*thing.marks, name))


class DocumentHandle(Handle[Document]):
    """Of a recorded file's documents; the provider is the one told or, without, the one they show."""

    def __init__(self, provider: str | None) -> None:
        self._provider = provider

    def bytes_of(self, thing: Document) -> bytes:
        """Return the document, of a capture line what was captured."""
        return captured.body_of(thing.data) if thing.capture else thing.data

    def ms_of(self, thing: Document) -> int | None:
        """Return its own time."""
        return thing.ts

    def provider_of(self, thing: Document) -> str | None:
        """Return whose format it is."""
        return thing.provider if thing.capture else self._provider or thing.provider

    def struck(self, thing: Document, name: str, data: bytes, ms: int | None, *, broken: bool) -> Document:
        """Return the document with a mark; what is broken must not take others of its request along."""
        form: Form = thing.form
        if thing.capture:
            data = captured.with_body(thing.data, data, thing.key)
        if broken and form != "line":
            form = "alone_xml" if "xml" in form else "alone_json"
        ts = thing.ts if ms is None else ms
        return structs.replace(thing, data=data, form=form, ts=ts, marks=(*thing.marks, name))
