"""The OpenAPI 3.1 document, made from the structs that are read and written.

The rule: nothing is described twice. Parameters come from the query structs, schemas from the answer structs, and since
every key of an output is always present, every property of an answer is required.
"""

from typing import Any, Final

import msgspec

from sb_core.ops import software_version
from sb_core.topics import SPORTS
from sb_distribute import rest_types
from sb_distribute.rest_operations import OPERATIONS, PROBLEMS_OF_ALL, Operation
from sb_distribute.rest_queries import INSTANT_DIGITS_MAX, INSTANTS, LISTS, NoQuery

Json = dict[str, Any]

_PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"
_ABOUT: Final = """\
One may bet on a market now if its `open` is true and its event is not `stale`; nothing else is needed.

Times are integer milliseconds since 1970 UTC; queries also take RFC 3339 with an offset. Odds are decimal strings,
never JSON floats. Every key is always present: unknown is null, none is []. Unknown query parameters are refused.
`rev` counts an event's changes without gaps; order is (lineage, rev). Events carry the ETag `"<lineage>.<rev>"`, with
`-stale` while stale. Errors are application/problem+json with a stable `code`.
"""


_RATION: Final[Json] = {
    name: {"description": text, "schema": {"type": "integer"}}
    for name, text in (
        ("RateLimit-Limit", "Requests a second that this key, or address without one, may make."),
        ("RateLimit-Remaining", "How many of these are left."),
        ("RateLimit-Reset", "Seconds until all of them are there again."),
    )
}


def openapi() -> Json:
    """Return the document, ready to be written as JSON."""
    answers = [*(operation.answer for operation in OPERATIONS), rest_types.Problem]
    _, components = msgspec.json.schema_components(answers, ref_template=_REF)
    schemas = {name: _output(schema) for name, schema in components.items()}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Sports betting pipeline: events, markets and odds",
            "version": software_version(),
            "description": _ABOUT,
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": {operation.path: {"get": _get(operation)} for operation in OPERATIONS},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key with the scope `read`; none is needed where the service has no keys set.",
                }
            },
        },
    }


def _output(schema: Json) -> Json:
    """Describe what is written: all keys are there, and there are no defaults."""
    if "properties" not in schema:
        return schema
    properties = {name: _without_default(each) for name, each in schema["properties"].items()}
    return {**schema, "properties": properties, "required": list(properties)}


def _without_default(schema: Json) -> Json:
    return {name: value for name, value in schema.items() if name != "default"}


def _get(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query), *_condition(operation)],
        "responses": {"200": _success(operation), **_problems(operation)},
    }
    if operation.tagged:
        described["responses"]["304"] = {"description": "The client has this state already."}
    return described


def _path_parameters(operation: Operation) -> list[Json]:
    if operation.name is None:
        return []
    return [
        {
            "name": operation.name.name,
            "in": "path",
            "required": True,
            "description": operation.name.text,
            "schema": {"type": "string"},
        }
    ]


def _query_parameters(kind: type[NoQuery]) -> list[Json]:
    (reference,), components = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = components[reference["$ref"].rpartition("/")[2]]
    return [_query_parameter(name, dict(each)) for name, each in schema["properties"].items()]


def _query_parameter(name: str, schema: Json) -> Json:
    described: Json = {"name": name, "in": "query", "required": False}
    if "description" in schema:
        described["description"] = schema.pop("description")
    if schema.get("default") in (None, ()):
        schema.pop("default", None)
    schema = _given(schema)
    if name in INSTANTS:
        most = 10**INSTANT_DIGITS_MAX - 1
        whole = {"type": "integer", "minimum": -most, "maximum": most}
        schema = {"anyOf": [whole, {"type": "string", "format": "date-time"}]}
    if name == "cursor":
        schema["format"] = "cursor"
    if name == "sport":
        schema["items"] = {"enum": list(SPORTS)}
    if name in LISTS:
        described |= {"style": "form", "explode": False}
    else:
        described["allowEmptyValue"] = True
    return {**described, "schema": schema}


def _given(schema: Json) -> Json:
    """Describe a parameter that is given: the null of one that isn't falls away."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **choices[0]}


def _condition(operation: Operation) -> list[Json]:
    if not operation.tagged:
        return []
    text = "Entity tags that the client has; 304 if the state is one of them."
    return [
        {"name": "If-None-Match", "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
    ]


def _success(operation: Operation) -> Json:
    described: Json = {
        "description": operation.summary,
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=operation.answer.__name__)}}},
    }
    described["headers"] = dict(_RATION)
    if operation.tagged:
        described["headers"]["ETag"] = {"description": "The state's tag.", "schema": {"type": "string"}}
    return described


def _problems(operation: Operation) -> Json:
    codes: dict[int, list[str]] = {}
    for status, code in sorted((*PROBLEMS_OF_ALL, *operation.problems)):
        codes.setdefault(status, []).append(code)
    return {
        str(status): {
            "description": " or ".join(f"`{code}`" for code in named),
            # a head that is too large is refused before anybody knows what it asks
            **({} if status == 431 else {"content": {_PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}}}),
        }
        for status, named in sorted(codes.items())
    }
