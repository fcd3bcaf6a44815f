"""The page /docs: the OpenAPI document for people, in one HTML file that loads nothing from anywhere.

The rule: it says what the document says, and nothing else; all text is escaped, and a policy in the header forbids the
browser everything but the page's own style.
"""

from html import escape
from typing import Any, Final

Json = dict[str, Any]

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy that the page is served with."""

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--dim:#888;--accent:#2a7;--code:#8881}
body{font:15px/1.55 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1.2rem}
code,pre,.path{font-family:ui-monospace,monospace;font-size:.92em}code{background:var(--code);padding:.05em .3em;border-radius:3px}
table{border-collapse:collapse;width:100%;margin:.6rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:500}.verb{color:var(--accent);font-weight:700}.dim{color:var(--dim)}nav li{margin:.15rem 0}
a{color:inherit}
"""


def docs_page(document: Json) -> bytes:
    """Write the page for an OpenAPI document."""
    info = document["info"]
    paths = document["paths"]
    schemas = document["components"]["schemas"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <span class=dim>{escape(info['version'])}</span></h1>",
        *(f"<p>{_text(paragraph)}</p>" for paragraph in info["description"].strip().split("\n\n")),
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>, and of the WebSocket <a href="/asyncapi.json">/asyncapi.json</a></p>',
        "<nav><ul>",
        *(
            f'<li><a href="#{escape(each["get"]["operationId"])}">{_path(path)}</a></li>'
            for path, each in paths.items()
        ),
        "</ul></nav>",
        *(_operation(path, each["get"]) for path, each in paths.items()),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
        "</body></html>\n",
    ]
    return "\n".join(parts).encode()


def _text(text: str) -> str:
    """Escape, and turn `backticks` into code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


def _path(path: str) -> str:
    return f'<span class="verb">GET</span> <span class="path">{escape(path)}</span>'


def _operation(path: str, described: Json) -> str:
    answer = described["responses"]["200"]["content"]["application/json"]["schema"]
    rows = "".join(_parameter(each) for each in described["parameters"])
    table = f"<table><tr><th>Parameter<th>In<th>Type<th>Meaning</tr>{rows}</table>" if rows else ""
    problems = "".join(
        f"<tr><td>{escape(status)}<td>{_text(each['description'])}</tr>"
        for status, each in described["responses"].items()
        if status != "200"
    )
    return (
        f'<h2 id="{escape(described["operationId"])}">{_path(path)}</h2><p>{_text(described["summary"])}. '
        f"Answers {_type(answer)}.</p>{table}<table><tr><th>Else<th></tr>{problems}</table>"
    )


def _parameter(each: Json) -> str:
    default = each["schema"].get("default")
    note = f' <span class="dim">default {escape(str(default))}</span>' if default is not None else ""
    return (
        f"<tr><td><code>{escape(each['name'])}</code><td>{escape(each['in'])}<td>{_type(each['schema'])}"
        f"<td>{_text(each.get('description', ''))}{note}</tr>"
    )


def _schema(name: str, schema: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(key)}</code><td>{_type(each)}</tr>"
        for key, each in schema.get("properties", {}).items()
    )
    about = f"<p>{_text(schema['description'])}</p>" if "description" in schema else ""
    return f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>{about}<table>{rows}</table>'


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_type(inner)}" if isinstance(inner, dict) else "object"
    return escape(str(schema.get("format") or schema.get("type", "any")))
