"""The console's expressions, for `--assert` and for filters: `lag.verdict == "OK" and services.down == 0`, `sport=football odds>5`.

    expression = term { ["and" | "or"] term }       terms side by side are joined by "and", which binds tighter than "or"
    term       = "not" term | "(" expression ")" | path [ operator value ]
    operator   = "=" "==" "!=" "<" "<=" ">" ">=" "~" "!~"      (~ is a regular expression found anywhere)

The rules: a left side is a path into the data, a right side is a value; numbers compare as decimals, never as binary
floats; nothing is ever executed. A path that the data hasn't is an error, not false; null is unequal to every value and
neither above nor below one. Pure.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Struct

CHARS_MAX: Final = 1_000
DEPTH_MAX: Final = 30
SUBJECT_CHARS_MAX: Final = 500
"""A regular expression looks at this much of a text."""

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "~", "!~"]
Value: TypeAlias = str | Decimal | bool | None


class QueryError(ValueError):
    """An expression can't be read, or asks for what the data hasn't."""


class Compare(Struct, frozen=True):
    """A path, and what it is compared with."""

    path: tuple[str, ...]
    operator: Operator
    value: Value
    pattern: str | None = None


class Truth(Struct, frozen=True):
    """A path alone: whether there is something there, and it is neither false nor 0 nor empty."""

    path: tuple[str, ...]


class Not(Struct, frozen=True):
    """The opposite."""

    term: "Node"


class Junction(Struct, frozen=True):
    """All of them, or any of them."""

    every: bool
    terms: tuple["Node", ...]


Node: TypeAlias = Compare | Truth | Not | Junction

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      |(?P<operator>==|!=|<=|>=|!~|=|<|>|~)
      |(?P<paren>[()])
      |(?P<word>[^\s()=<>!~"']+))""",
    re.VERBOSE,
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_WORDS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}


class _Token(Struct, frozen=True):
    kind: str
    text: str
    place: int


def parse(text: str) -> Node | None:
    """Read an expression; None for an empty one. Raises QueryError that says where it is wrong."""
    if len(text) > CHARS_MAX:
        raise QueryError(f"longer than {CHARS_MAX} characters")
    tokens = _tokens(text)
    if not tokens:
        return None
    parser = _Parser(tokens)
    node = parser.expression(0)
    if parser.left:
        raise QueryError(f"{parser.left[0].text!r} at {parser.left[0].place + 1} is one too many")
    return node


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise QueryError(f"can't read {text[place:].strip()[:20]!r} at {place + 1}")
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        place = match.end()
    return found


class _Parser:
    """Reads tokens from the front of `left`."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.left = list(tokens)

    def expression(self, depth: int) -> Node:
        """Read terms joined by `or`."""
        if depth > DEPTH_MAX:
            raise QueryError(f"nested deeper than {DEPTH_MAX}")
        terms = [self._all(depth)]
        while self._next_is("or"):
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Junction(every=False, terms=tuple(terms))

    def _all(self, depth: int) -> Node:
        terms = [self._term(depth)]
        while self.left and not self._is("or") and self.left[0].text != ")":
            self._next_is("and")
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else Junction(every=True, terms=tuple(terms))

    def _term(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise QueryError(f"nested deeper than {DEPTH_MAX}")
        if self._next_is("not"):
            return Not(self._term(depth + 1))
        token = self._take("a name")
        if token.text == "(" and token.kind == "paren":
            node = self.expression(depth + 1)
            if not self.left or self.left[0].text != ")":
                raise QueryError("a ) is missing")
            self.left.pop(0)
            return node
        if token.kind != "word":
            raise QueryError(f"{token.text!r} at {token.place + 1} is no name")
        path = tuple(token.text.split("."))
        if not self.left or self.left[0].kind != "operator":
            return Truth(path)
        operator = self.left.pop(0).text
        return _compare(path, "==" if operator == "=" else operator, self._take("a value"))

    def _take(self, what: str) -> _Token:
        if not self.left:
            raise QueryError(f"it ends where {what} should be")
        return self.left.pop(0)

    def _is(self, word: str) -> bool:
        return bool(self.left) and self.left[0].kind == "word" and self.left[0].text.lower() == word

    def _next_is(self, word: str) -> bool:
        if self._is(word):
            self.left.pop(0)
            return True
        return False


def _compare(path: tuple[str, ...], operator: str, token: _Token) -> Compare:
    if token.kind not in {"word", "string"}:
        raise QueryError(f"{token.text!r} at {token.place + 1} is no value")
    text = re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "string" else token.text
    if operator in {"~", "!~"}:
        try:
            re.compile(text)
        except re.error as error:
            raise QueryError(f"{text!r} is no regular expression: {error}") from error
        return Compare(path, cast("Operator", operator), None, text)
    value: Value = text
    if token.kind == "word":
        value = _WORDS[text.lower()] if text.lower() in _WORDS else Decimal(text) if _NUMBER.fullmatch(text) else text
    return Compare(path, cast("Operator", operator), value)


def holds(node: Node | None, look: Callable[[tuple[str, ...]], Any]) -> bool:
    """Say whether an expression holds; `look` finds a path's value and raises QueryError for one that isn't there."""
    if node is None:
        return True
    if isinstance(node, Not):
        return not holds(node.term, look)
    if isinstance(node, Junction):
        judged = (holds(term, look) for term in node.terms)
        return all(judged) if node.every else any(judged)
    found = look(node.path)
    if isinstance(node, Truth):
        return bool(found)
    if isinstance(found, list | tuple):
        # any of several: `market=1x2` of an update that names twelve markets
        return any(_holds_one(node, each) for each in found)
    return _holds_one(node, found)


def _holds_one(node: Compare, found: Any) -> bool:
    if node.pattern is not None:
        hit = found is not None and re.search(node.pattern, str(found)[:SUBJECT_CHARS_MAX], re.IGNORECASE) is not None
        return hit == (node.operator == "~")
    left, right = _comparable(found, node.value)
    if node.operator in {"==", "!="}:
        return bool(left == right) == (node.operator == "==")
    if left is None or right is None or isinstance(left, bool) or type(left) is not type(right):
        return False
    return bool(_ORDER[node.operator](left, right))


_ORDER: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def _comparable(found: Any, value: Value) -> tuple[Any, Any]:
    """Bring both to one kind: decimals where both are numbers (odds are strings), else texts without case."""
    if found is None or value is None or isinstance(found, bool) or isinstance(value, bool):
        return found, value
    if isinstance(value, Decimal):
        number = _decimal(found)
        # a text that is no number is another value than every number, and neither above nor below it
        return (str(found) if number is None else number), value
    return str(found).casefold(), value.casefold()


def _decimal(found: Any) -> Decimal | None:
    try:
        number = Decimal(str(found))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def looking_into(document: Any) -> Callable[[tuple[str, ...]], Any]:
    """Return a `look` into nested mappings and lists; a number names a place in a list."""

    def look(path: tuple[str, ...]) -> Any:
        at = document
        for depth, name in enumerate(path):
            if isinstance(at, Mapping) and name in at:
                at = at[name]
            elif isinstance(at, list | tuple) and name.isdecimal() and int(name) < len(at):
                at = at[int(name)]
            else:
                known = ", ".join(sorted(map(str, at))[:12]) if isinstance(at, Mapping) else "nothing"
                raise QueryError(
                    f"there is no {'.'.join(path)}: {'.'.join(path[:depth]) or 'the snapshot'} has {known}"
                )
        return at

    return look
