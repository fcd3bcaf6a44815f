"""Canonical messages in XML: the same words as in JSON, turned into the same JSON.

The root element is the type. Scalars are attributes (empty is null, where null is allowed); an object is a child
element; a list repeats a child element with the singular name, whose text is the value in a list of texts; a list that
is there but empty is said by the attribute `<name>="[]"`. `info` and `details` are objects whose names nobody fixed:
one child `<info k="v" n="5" b="true"/>` or `<details …/>` (whole numbers and true, false are such; empty is null), none
of them `<name>="{}"`; or, with types that are said and names that no attribute may have, repeated
`<info name="…" value="…" type="string|int|bool|null"/>` and `<detail …/>`. What nobody knows is ignored.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
from lxml import etree
from msgspec import Struct, inspect

from sb_core.messages import AnyMessage
from sb_ingest.xml import local

_Kind: TypeAlias = Literal["text", "int", "bool", "object", "objects", "texts", "pairs"]
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,15}", re.ASCII)
_BOOLS: Final = {"true": True, "1": True, "false": False, "0": False}


class _Field(Struct, frozen=True):
    name: str
    kind: _Kind
    nullable: bool
    fields: tuple["_Field", ...] = ()

    @property
    def singular(self) -> str:
        """The name of the child element: of lists without the plural's s."""
        return self.name.removesuffix("s") if self.kind in {"objects", "texts", "pairs"} else self.name


def as_json(root: etree._Element) -> bytes:
    """Write an element as the JSON that the same message would be. An unknown root gives an unknown type."""
    kind = local(root)
    return msgspec.json.encode({"type": kind, **_object(root, _PLANS.get(kind, ()))})


def _object(element: etree._Element, fields: tuple[_Field, ...]) -> dict[str, object]:
    children: dict[str, list[etree._Element]] = {}
    for child in element:
        children.setdefault(local(child), []).append(child)
    made: dict[str, object] = {}
    for field in fields:
        found = children.get(field.singular, [])
        if field.kind == "pairs" and field.singular != field.name:
            found = [*found, *children.get(field.name, [])]
        attribute = element.get(field.name)
        if field.kind in {"text", "int", "bool"}:
            if attribute is not None:
                made[field.name] = _scalar(str(attribute), field)
        elif found:
            made[field.name] = _children(found, field)
        elif attribute is not None:
            made[field.name] = _empty(str(attribute), field)
    return made


def _empty(attribute: str, field: _Field) -> object:
    """Read the attribute in the place of a list or an object: that there is none."""
    if not attribute and field.nullable:
        return None
    return {"[]": [], "{}": {}}.get(attribute, attribute)


def _children(found: list[etree._Element], field: _Field) -> object:
    if field.kind == "object":
        return _object(found[0], field.fields) if len(found) == 1 else [None] * len(found)
    if field.kind == "objects":
        return [_object(child, field.fields) for child in found]
    if field.kind == "texts":
        return [str(child.text or "") for child in found]
    pairs: dict[str, object] = {}
    for child in found:
        if "name" in child.attrib and ("value" in child.attrib or "type" in child.attrib):
            pairs[str(child.get("name"))] = _pair(child)
        else:
            pairs.update((str(name), _plain(str(text))) for name, text in child.attrib.items())
    return pairs


def _plain(text: str) -> object:
    """Read an attribute of which nobody said what it is: a whole number as JSON writes it, true, false, or a text."""
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _WHOLE.fullmatch(text) else text or None


def _scalar(text: str, field: _Field) -> object:
    """Read an attribute; what isn't what it should be stays a text, so that the decoder says where and what it is."""
    if not text and field.nullable:
        return None
    if field.kind == "int":
        return int(text) if _INTEGER.fullmatch(text) else text
    if field.kind == "bool":
        return _BOOLS.get(text, text)
    return text


def _pair(element: etree._Element) -> object:
    text = str(element.get("value", ""))
    kind = str(element.get("type", "string"))
    if kind == "int":
        return int(text) if _INTEGER.fullmatch(text) else [text]
    if kind == "bool":
        return _BOOLS.get(text, [text])
    if kind == "null":
        return None
    # a list is no scalar: the decoder will refuse it
    return text if kind == "string" else [text]


def _plan(struct: inspect.StructType) -> tuple[_Field, ...]:
    return tuple(_field(field.encode_name, field.type) for field in struct.fields)


def _field(name: str, kind: inspect.Type) -> _Field:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    nullable = any(isinstance(option, inspect.NoneType) for option in options)
    for option in options:
        if isinstance(option, inspect.StructType):
            return _Field(name, "object", nullable, _plan(option))
        if isinstance(option, inspect.VarTupleType):
            inner = option.item_type
            if isinstance(inner, inspect.StructType):
                return _Field(name, "objects", nullable, _plan(inner))
            return _Field(name, "texts", nullable)
        if isinstance(option, inspect.DictType):
            return _Field(name, "pairs", nullable)
        for scalar, word in _SCALARS.items():
            if isinstance(option, scalar):
                return _Field(name, word, nullable)
    return _Field(name, "text", nullable)


_SCALARS: Final[Mapping[Any, _Kind]] = {
    inspect.IntType: "int",
    inspect.BoolType: "bool",
    inspect.StrType: "text",
    inspect.LiteralType: "text",
}


def _plans() -> dict[str, tuple[_Field, ...]]:
    made = {}
    for each in get_args(AnyMessage):
        info = inspect.type_info(each)
        if isinstance(info, inspect.StructType):
            made[str(info.tag)] = _plan(info)
    return made


_PLANS: Final = _plans()
