"""`sb deadletters list|show|replay`: what was refused, over ingest's HTTP.

The rule: results go to standard output, everything else to standard error; 0 only if all that was asked was done.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import msgspec

from sb_core import settings as settings_module
from sb_core.runtime import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from sb_core.settings import SettingsError

DEADLINE_S: Final = 30.0
PAGES_MAX: Final = 1_000


class RefusedError(Exception):
    """Ingest could not be asked, or did not give what was asked for."""


class Client:
    """Asks ingest."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    def ask(self, path: str, body: object | None = None) -> Any:
        """Return the JSON of an answer. Raises RefusedError."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {**self._headers, "content-type": "application/json"}
        # the scheme was checked with the settings
        asked = Request(self._url + path, data=data, headers=headers)  # noqa: S310
        try:
            with urlopen(asked, timeout=DEADLINE_S) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read())
        except HTTPError as error:
            with error:
                raise RefusedError(f"{error.code}: {_detail(error.read())}") from error
        except (URLError, OSError) as error:
            raise RefusedError(f"{self._url} does not answer: {getattr(error, 'reason', error)}") from error


def _detail(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body).get("detail"))
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
        return body[:200].decode("utf-8", "replace")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--url", help="base URL of ingest (default: SB_INGEST_URL)")
    shared.add_argument("--api-key", default=os.environ.get("SB_API_KEY"), help="key (default: SB_API_KEY)")
    shared.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(prog="sb deadletters", description="Lists, shows and replays what was refused.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", parents=[shared], help="one line each, oldest first")
    listing.add_argument("--code", default="", help="only these codes, comma separated")
    listing.add_argument("--limit", type=int, default=100, help="at most this many (default 100)")
    listing.add_argument("--cursor", default="", help="go on where another list ended")
    show = commands.add_parser("show", parents=[shared], help="one in full")
    show.add_argument("id")
    again = commands.add_parser("replay", parents=[shared], help="send again through the normaliser")
    again.add_argument("ids", nargs="*", metavar="id")
    again.add_argument("--code", default="", help="all with these codes, comma separated")
    again.add_argument("--dry-run", action="store_true", help="only say what would become of them")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        url = arguments.url or settings_module.load().ingest_url
    except SettingsError as error:
        sys.stderr.write(f"sb deadletters: {error}\n")
        return EXIT_USAGE
    if arguments.command == "replay" and not arguments.ids and not arguments.code:
        parser.error("replay needs ids or --code")
    if not url.startswith(("http://", "https://")):
        parser.error("the URL begins with http:// or https://")
    client = Client(url, arguments.api_key)
    try:
        return _COMMANDS[arguments.command](client, arguments)
    except RefusedError as error:
        sys.stderr.write(f"sb deadletters: {error}\n")
        return EXIT_FAILED


def _list(client: Client, arguments: argparse.Namespace) -> int:
    items, following = _pages(client, arguments.code, arguments.cursor, arguments.limit)
    if arguments.json:
        _print_json({"items": items, "next": following})
        return EXIT_OK
    for item in items:
        about = " ".join(str(item[name]) for name in ("provider", "event", "market", "line") if item[name])
        sys.stdout.write(f"{item['id']:>12}  {item['code']:<18} {item['stage']:<8} {about}  {item['message']}\n")
    if following:
        sys.stderr.write(f"more: --cursor {following}\n")
    return EXIT_OK


def _pages(client: Client, code: str, cursor: str, limit: int) -> tuple[list[Any], str | None]:
    items: list[Any] = []
    following: str | None = cursor or None
    for _ in range(PAGES_MAX):
        asked = {"limit": min(max(limit - len(items), 1), 1_000), "code": code, "cursor": following or "0"}
        page = client.ask(f"/v1/deadletters?{urlencode(asked)}")
        items.extend(page["items"])
        following = page["next"]
        if following is None or len(items) >= limit:
            break
    return items, following


def _show(client: Client, arguments: argparse.Namespace) -> int:
    letter = client.ask(f"/v1/deadletters/{quote(arguments.id, safe='')}")
    if arguments.json:
        _print_json(letter)
        return EXIT_OK
    for name, value in letter.items():
        if name != "body" and value is not None:
            sys.stdout.write(f"{name:<10} {value}\n")
    body = letter["body"]
    sys.stdout.write("\n" + (body if isinstance(body, str) else body["b64"]) + "\n")
    return EXIT_OK


def _replay(client: Client, arguments: argparse.Namespace) -> int:
    ids = list(arguments.ids)
    if arguments.code:
        items, _ = _pages(client, arguments.code, "", 1_000_000)
        ids.extend(item["id"] for item in items)
    results: list[Any] = []
    for start in range(0, len(ids), 100):
        asked = {"ids": ids[start : start + 100], "dry_run": arguments.dry_run}
        results.extend(client.ask("/v1/deadletters/replay", asked)["items"])
    if arguments.json:
        _print_json({"dry_run": arguments.dry_run, "items": results})
    else:
        for each in results:
            reasons = "; ".join(f"{refused['code']}: {refused['message']}" for refused in each["refused"])
            sys.stdout.write(f"{each['id']:>12}  {each['result']:<10} accepted={each['accepted']} {reasons}\n")
    return EXIT_OK if all(each["result"] in {"accepted", "nothing"} for each in results) else EXIT_FAILED


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


_COMMANDS: Final = {"list": _list, "show": _show, "replay": _replay}


if __name__ == "__main__":
    sys.exit(main())
