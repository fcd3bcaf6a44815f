"""The OpenAPI document: valid, complete, and true of the application."""

import re

import pytest
from openapi_spec_validator import validate

from sb_distribute.rest_openapi import openapi
from sb_distribute.rest_operations import OPERATIONS

EVENT = "uof:sr:match:42"


def test_the_document_is_valid():
    document = openapi()
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_document_is_served(in_world):
    async def test(world):
        response = await world.client.get("/openapi.json")
        assert response.json() == openapi()
        again = await world.client.get("/openapi.json", headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304

    in_world(test)


def test_the_stream_is_described_beside_it(in_world):
    async def test(world):
        response = await world.client.get("/asyncapi.json")
        assert response.json()["asyncapi"] == "3.0.0"
        again = await world.client.get("/asyncapi.json", headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304

    in_world(test)


def test_every_documented_path_answers_and_every_path_is_documented(in_world, make, document, operation_of):
    async def test(world):
        await world.save(
            EVENT,
            event={"competitors": [make.competitor("uof:c:1", "A")], "competition": make.competition("uof:t:1", "L")},
            markets=[make.market("total", "total=2.5")],
        )
        named = {"sport": "football", "event": EVENT, "id": "uof:c:1"}
        for path in document["paths"]:
            url = re.sub(r"\{(\w+)\}", lambda match: named[match[1]], path)
            assert operation_of(url) == path
            await world.get(url)
        served = {rule.rule for rule in world.app.url_map.iter_rules() if rule.rule.startswith("/v1/")} - {
            "/v1/account"
        }
        below_events = {"/v1/events/{event}/markets", "/v1/events/{event}/history"}
        assert {re.sub(r"<(?:path:)?(\w+)>", "{}", rule) for rule in served} == {
            re.sub(r"\{\w+\}", "{}", path) for path in document["paths"] if path not in below_events
        }

    in_world(test)


def test_every_parameter_is_taken_and_every_other_refused(in_world, make, document):
    values = {"cursor": "", "open": "true", "at_rev": "1", "min_rev": "1", "from_rev": "1", "limit": "5", "at": "2000"}

    async def test(world):
        await world.save(
            EVENT, event={"competitors": [make.competitor("uof:c:1", "A")]}, markets=[make.market("total")]
        )
        named = {"sport": "football", "event": EVENT, "id": "uof:c:1"}
        for path, described in document["paths"].items():
            url = re.sub(r"\{(\w+)\}", lambda match: named[match[1]], path)
            for parameter in described["get"]["parameters"]:
                if parameter["in"] != "query":
                    continue
                schema = parameter["schema"]
                choice = (schema.get("items") or schema).get(
                    "enum", ["football" if parameter["name"] == "sport" else "1"]
                )
                await world.get(f"{url}?{parameter['name']}={values.get(parameter['name'], choice[0])}")
            await world.problem(f"{url}?never=1", 400, "bad_parameter")

    in_world(test)


def test_outputs_have_all_their_keys():
    schemas = openapi()["components"]["schemas"]
    for name in ("Event", "Market", "Outcome", "Header", "HistoryItem", "Changes", "Problem"):
        assert schemas[name]["required"] == list(schemas[name]["properties"])
        assert all("default" not in each for each in schemas[name]["properties"].values())


def test_lists_are_comma_separated_and_limits_documented():
    parameters = {each["name"]: each for each in openapi()["paths"]["/v1/events"]["get"]["parameters"]}
    assert parameters["sport"]["explode"] is False
    assert parameters["sport"]["schema"]["type"] == "array"
    limit = parameters["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 1_000, 100)
    assert "null" not in str(parameters["q"]["schema"])
    assert {"type": "string", "format": "date-time"} in parameters["from"]["schema"]["anyOf"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_paths_name_their_variable(operation):
    assert re.findall(r"\{(\w+)\}", operation.path) == ([operation.name.name] if operation.name else [])


def test_the_page_loads_nothing_and_names_every_path(in_world, document):
    async def test(world):
        response = await world.client.get("/docs")
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        page = response.text
        for path in document["paths"]:
            assert path in page
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|<script|@import|url\(", page)
        anchors = set(re.findall(r'id="([^"]+)"', page))
        assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors

    in_world(test)
