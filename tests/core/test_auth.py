"""Keys: who gets in, who does not, and what a configuration must look like."""

from hashlib import sha256

import pytest

from sb_core.auth import Keys, bearer, subprotocol_key


def digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


TEXT = f"feeder:{digest('f')}:feed:uof,feed:betfair; reader:{digest('r')}:read ;ops:{digest('o')}:operate,read;"
KEYS = Keys.parse(TEXT)


@pytest.mark.parametrize(
    ("presented", "scopes", "result"),
    [
        ("f", ("feed:uof",), "ok"),
        ("f", ("feed:betfair",), "ok"),
        ("f", ("feed:canonical",), 403),
        ("f", ("read",), 403),
        ("f", ("read", "feed:uof"), "ok"),
        ("r", ("read",), "ok"),
        ("r", ("operate",), 403),
        ("r", ("feed:uof",), 403),
        ("o", ("operate",), "ok"),
        ("o", ("read",), "ok"),
        ("o", (), 403),
        ("x", ("read",), 401),
        ("", ("read",), 401),
        (None, ("read",), 401),
        (digest("r"), ("read",), 401),
        ("r" * 10_000, ("read",), 401),
        ("\ud800", ("read",), 401),
    ],
)
def test_a_key_opens_what_its_scopes_say(presented, scopes, result):
    assert KEYS.check(presented, *scopes) == result


@pytest.mark.parametrize("text", ["", "  ", ";", " ; "])
def test_without_keys_all_is_open(text):
    keys = Keys.parse(text)
    assert keys.open
    assert keys.check(None, "operate") == "ok"
    assert keys.check("anything", "read") == "ok"


def test_any_feed_can_be_granted():
    keys = Keys.parse(f"all:{digest('a')}:feed:*")
    assert keys.check("a", "feed:uof") == "ok"
    assert keys.check("a", "read") == 403


def test_digests_in_capitals_are_the_same():
    assert Keys.parse(f"a:{digest('a').upper()}:read").check("a", "read") == "ok"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "the key of 'a' is not"),
        (f":{digest('a')}:read", "no proper name"),
        ("a:abc:read", "64 hex digits"),
        (f"a:{digest('a')}", "no scopes"),
        (f"a:{digest('a')}:", "no scopes"),
        (f"a:{digest('a')}:write", "unknown scope 'write'"),
        (f"a:{digest('a')}:feed:", "unknown scope"),
        (f"a:{digest('a')}:read:operate", "unknown scope"),
        (";".join(f"a:{digest(each)}:read" for each in "abc"), "more than 2 keys are named 'a'"),
        (";".join(f"n{number}:{digest('a')}:read" for number in range(300)), "more than"),
    ],
)
def test_a_wrong_configuration_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        Keys.parse(text)


def test_keys_don_t_show_their_digests():
    assert repr(KEYS) == "<Keys feeder reader ops>"
    assert repr(Keys()) == "<Keys open>"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("  Bearer   abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_bearer(header, key):
    assert bearer(header) == key


@pytest.mark.parametrize(
    ("offered", "key"),
    [
        (["sb.v1.json", "sb.key.abc"], "abc"),
        (["sb.key.a.b.c", "sb.key.second"], "a.b.c"),
        (["sb.key."], None),
        (["sb.v1.json"], None),
        ([], None),
    ],
)
def test_subprotocol_key(offered, key):
    assert subprotocol_key(offered) == key
