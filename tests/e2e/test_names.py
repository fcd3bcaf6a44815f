"""Names of real people and clubs: exact through XML and JSON, SQLite, REST and WebSocket; found without case and accents."""
# ruff: noqa: RUF001  the letters of these names are the matter

import json
import sqlite3
import unicodedata
import xml.etree.ElementTree as ET
from contextlib import closing
from xml.sax.saxutils import quoteattr

import pytest
from follower import Follower
from local_pipeline import running

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("names")]

TS = 1_700_000_000_000

# name, and what people type to find it
NAMES = [
    ("Çalhanoğlu", "calhanoglu"),
    ("İstanbul Başakşehir FK", "istanbul basaksehir"),
    ("Kasımpaşa SK", "KASIMPASA"),
    ("Iğdır F.K.", "igdir f.k."),
    ("Göztepe  Spor", "goztepe spor"),  # two spaces
    ("Hossam Y / Taweel I H", "hossam y / taweel"),
    ("Krejčíková B./Siniaková K.", "krejcikova b./siniakova"),
    ("Peña   Ñublense", "pena nublense"),  # three
    ("Ho\u0302\u0300 Va\u0306n Y\u0301", "ho van y"),  # combining marks, not composed
    ("Hồ Văn Ý", "HO VAN Y"),  # the same, composed
    ("Škoda Plzeň", "skoda plzen"),
    ("Łódź", "lodz"),
    ("Bodø/Glimt", "bodo/glimt"),
    ("Ægir Þór", "aegir thor"),
    ("Weiß Straße", "weiss strasse"),
    ("Olympiakos Ολυμπιακός", "ολυμπιακος"),
    ("Спартак Москва", "спартак москва"),
    ("نادي الأهلي", "نادي"),
    ("מכבי תל אביב \u200f(נשים)", "מכבי"),  # with a right-to-left mark
    ("浦和レッズ", "浦和"),
    ("전북 현대", "전북"),
    ('O\'Neill & Sons <"B">', "oneill & sons"),
    ("L\u2019Aquila", "laquila"),
    ("Team 😀 \U0001f1f9\U0001f1f7", "team 😀"),
]
IDS = {f"acme:competitor:{number}": name for number, (name, _) in enumerate(NAMES)}


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Every name once by JSON and once by XML, as competitor, player, event and competition, with a client that follows."""
    with (
        running(tmp_path_factory.mktemp("names") / "data", "--feed", "none") as pipeline,
        Follower(pipeline.url(4003, "ws")) as json_client,
        Follower(pipeline.url(4003, "ws"), form="msgpack") as msgpack_client,
    ):
        for number, name in enumerate(IDS.values()):
            answer = pipeline.post("/v1/feeds/canonical", json.dumps(as_json(number, name)))
            assert answer.json() == {"accepted": 1, "refused": []}
            document = as_xml(number, name).encode()
            answer = pipeline.post("/v1/feeds/canonical", document, "application/xml")
            assert answer.json() == {"accepted": 1, "refused": []}
        pipeline.wait_through()
        events = pipeline.state()
        clients = [json_client, msgpack_client]
        for client in clients:
            client.wait_for({event: (shown["lineage"], shown["rev"]) for event, shown in events.items()})
        yield pipeline, events, clients


def as_json(number, name):
    return {
        "type": "fixture",
        "event": f"acme:json:{number}",
        "sport": "football",
        "ts": TS,
        "name": name,
        "competition": {"id": f"acme:competition:{number}", "name": name, "category": name},
        "competitors": [
            {
                "id": f"acme:competitor:{number}",
                "name": name,
                "side": "home",
                "players": [{"id": f"acme:player:{number}", "name": name}],
            }
        ],
    }


def as_xml(number, name):
    said = quoteattr(name)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><fixture event="acme:xml:{number}" sport="tennis" ts="{TS}" name={said}>'
        f'<competition id="acme:competition:x{number}" name={said} category={said}/>'
        f'<competitor id="acme:competitor:x{number}" name={said} side="home">'
        f'<player id="acme:player:x{number}" name={said}/></competitor></fixture>'
    )


def names_in(event):
    """All names that an event shows."""
    (competitor,) = event["competitors"]
    (player,) = competitor["players"]
    competition = event["competition"]
    return [event["name"], competitor["name"], player["name"], competition["name"], competition["category"]]


@pytest.mark.parametrize("form", ["json", "xml"])
def test_names_are_exact_in_rest_and_on_the_stream(named, form):
    _, events, clients = named
    for number, name in enumerate(IDS.values()):
        event = f"acme:{form}:{number}"
        for shown in (events[event], *(client.events[event] for client in clients)):
            assert names_in(shown) == [name] * 5


def test_names_are_exact_in_the_database(named):
    pipeline, _, _ = named
    with closing(sqlite3.connect(f"file:{pipeline.data / 'store.db'}?mode=ro", uri=True)) as database:
        people = dict(database.execute("SELECT id, name FROM participants"))
        events = dict(database.execute("SELECT event, name FROM events"))
        competitions = dict(database.execute("SELECT id, name FROM competitions"))
    for number, name in enumerate(IDS.values()):
        for mark in ("", "x"):
            assert people[f"acme:competitor:{mark}{number}"] == name
            assert people[f"acme:player:{mark}{number}"] == name
            assert competitions[f"acme:competition:{mark}{number}"] == name
        assert events[f"acme:json:{number}"] == events[f"acme:xml:{number}"] == name


def found(pipeline, q, path="/v1/participants"):
    items, cursor = [], None
    while True:
        page = pipeline.get(path, q=q, limit=50, **({"cursor": cursor} if cursor else {}))
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


@pytest.mark.parametrize(("name", "typed"), NAMES)
def test_people_are_found_without_case_and_accents(named, name, typed):
    pipeline, _, _ = named
    number = list(IDS.values()).index(name)
    expected = {f"acme:{kind}:{mark}{number}" for kind in ("competitor", "player") for mark in ("", "x")}
    for q in {typed, typed.upper(), name, name.lower(), unicodedata.normalize("NFD", typed), typed.split()[0]}:
        ids = {item["id"]: item["name"] for item in found(pipeline, q)}
        assert expected <= ids.keys(), q
        assert all(ids[each] == name for each in expected)
    assert {item["event"] for item in found(pipeline, typed, "/v1/events")} >= {
        f"acme:json:{number}",
        f"acme:xml:{number}",
    }


def test_nobody_is_found_by_what_is_in_no_name(named):
    pipeline, _, _ = named
    for q in ("nobody of this name", "%", "_", "\\"):
        assert found(pipeline, q) == []
    assert {item["name"] for item in found(pipeline, "kasim")} == {"Kasımpaşa SK"}


def test_a_turkish_league_whole(named, feeds):
    """The clubs of a recorded season: each is found by its letters without their marks."""
    pipeline, _, _ = named
    season = json.loads((feeds / "fixtures" / "openfootball-tr.1-2024-25.json").read_text())
    clubs = sorted({match[team] for match in season["matches"] for team in ("team1", "team2")})
    assert any("ş" in club for club in clubs)
    matches = [
        {
            "type": "fixture",
            "event": f"tr:{number}",
            "sport": "football",
            "ts": TS + number,
            "name": f"{match['team1']} – {match['team2']}",
            "competitors": [
                {"id": f"tr:club:{clubs.index(match[team])}", "name": match[team], "side": side}
                for team, side in (("team1", "home"), ("team2", "away"))
            ],
        }
        for number, match in enumerate(season["matches"])
    ]
    answer = pipeline.post("/v1/feeds/canonical", json.dumps(matches, ensure_ascii=False))
    assert answer.json() == {"accepted": len(matches), "refused": []}
    pipeline.wait_through()
    for number, club in enumerate(clubs):
        item = pipeline.get(f"/v1/participants/tr:club:{number}")
        assert item["name"] == club
        typed = club.translate(str.maketrans("çğıİöşüÇĞÖŞÜâ", "cgiIosuCGOSUa"))
        assert typed.isascii()
        assert f"tr:club:{number}" in {each["id"] for each in found(pipeline, typed.upper())}
    for number in (0, len(matches) - 1):
        assert pipeline.event(f"tr:{number}")["name"] == matches[number]["name"]


# recorded UOF fixtures, read here by another parser

SPORT_API = "{http://schemas.sportradar.com/sportsapi/v1/unified}"


def people_in(path):
    root = ET.parse(path).getroot()
    people = {}
    for kind in ("competitor", "player"):
        for element in root.iter(f"{SPORT_API}{kind}"):
            people[f"uof:{element.get('id')}"] = element.get("name")
    return root.find(f"{SPORT_API}fixture"), people


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_recorded_fixtures_keep_their_names(named, feeds, number):
    pipeline, _, clients = named
    path = feeds / "uof" / "recorded" / f"fixture-{number}.xml"
    fixture, people = people_in(path)
    answer = pipeline.post("/v1/feeds/uof", path.read_bytes(), "application/xml")
    assert answer.status_code == 202
    event = f"uof:{fixture.get('id')}"
    pipeline.wait_through()
    shown = pipeline.event(event)
    for client in clients:
        client.wait_for({event: (shown["lineage"], shown["rev"])})
        assert client.events[event] == shown
    told = {each["id"]: each["name"] for each in shown["competitors"]}
    told |= {player["id"]: player["name"] for each in shown["competitors"] for player in each["players"]}
    assert told == people
    for each, name in people.items():
        assert pipeline.get(f"/v1/participants/{each}")["name"] == name
        assert each in {item["id"] for item in found(pipeline, name.split()[0].lower())}
    if number == 1:
        season = ET.parse(path).getroot().find(f".//{SPORT_API}tournament")
        assert shown["competition"]["name"] == season.get("name")


# renames


def fixture(event, ts, who, competitor="acme:competitor:renamed", **fields):
    side = {"id": competitor, "name": who, "side": "home"}
    return {"type": "fixture", "event": event, "sport": "football", "ts": ts, "competitors": [side], **fields}


def send(pipeline, *messages):
    answer = pipeline.post("/v1/feeds/canonical", json.dumps(messages))
    assert answer.json()["refused"] == []
    pipeline.wait_through()


def test_a_rename_keeps_the_id_and_the_newer_name_wins(named):
    pipeline, _, clients = named
    who, event, other = "acme:competitor:renamed", "acme:rename:1", "acme:rename:2"
    steps = [
        # message, the event's name for it, the name that people find
        (fixture(event, TS + 10, "Ümraniyespor"), "Ümraniyespor", "Ümraniyespor"),
        (fixture(event, TS + 20, "Ümraniye Gençlik"), "Ümraniye Gençlik", "Ümraniye Gençlik"),
        # older than what stands in this event
        (fixture(event, TS + 15, "Eski Ad"), "Ümraniye Gençlik", "Ümraniye Gençlik"),
        # older, of another event
        (fixture(other, TS + 5, "Daha Eski Ad"), "Ümraniye Gençlik", "Ümraniye Gençlik"),
        # newer, of another event: this one was not told
        (fixture(other, TS + 30, "Ünye Kadın F.K."), "Ümraniye Gençlik", "Ünye Kadın F.K."),
        (fixture(event, TS + 40, "Ünye Kadın F.K."), "Ünye Kadın F.K.", "Ünye Kadın F.K."),
    ]
    for message, shown_name, known_name in steps:
        send(pipeline, message)
        shown = pipeline.event(event)
        assert [(each["id"], each["name"]) for each in shown["competitors"]] == [(who, shown_name)]
        for client in clients:
            client.wait_for({event: (shown["lineage"], shown["rev"])})
            assert client.events[event]["competitors"] == shown["competitors"]
        item = pipeline.get(f"/v1/participants/{who}")
        assert (item["id"], item["name"]) == (who, known_name)
        assert [each["id"] for each in found(pipeline, known_name.lower())] == [who]
    assert found(pipeline, "genclik") == []
    assert found(pipeline, "eski ad") == []
    entries = pipeline.history(event)
    names = [entry["changes"]["event"]["competitors"][0]["name"] for entry in entries]
    assert names == ["Ümraniyespor", "Ümraniye Gençlik", "Ünye Kadın F.K."]


def test_an_event_is_renamed_in_place(named):
    pipeline, _, _ = named
    send(pipeline, fixture("acme:rename:3", TS, "A", "acme:competitor:a", name="Gölcük  v Iğdır"))
    send(pipeline, fixture("acme:rename:3", TS + 1, "A", "acme:competitor:a", name="Gölcük / Iğdır"))
    assert pipeline.event("acme:rename:3")["name"] == "Gölcük / Iğdır"
    assert pipeline.get("/v1/events/acme:rename:3", at_rev=1)["name"] == "Gölcük  v Iğdır"
