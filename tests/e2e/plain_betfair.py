"""An independent fold of Betfair stream files, in the plainest way: a dict of ladders. Shares no code with the project."""

import bz2
import json
from decimal import Decimal


def lines(path):
    opened = bz2.open if path.suffix == ".bz2" else open
    with opened(path, "rt") as file:
        yield from (line for line in file if line.strip())


def plain(number):
    """Write a decimal in its shortest form."""
    text = format(Decimal(number).normalize(), "f")
    return "0" if text == "-0" else text


def source(selection, handicap):
    return str(selection) if not handicap else f"{selection}/{plain(handicap)}"


class Fold:
    def __init__(self):
        self.definitions = {}
        self.backs = {}  # (market, source) -> {price: size}
        self.last = {}

    def apply(self, line):
        message = json.loads(line, parse_float=Decimal)
        for change in message.get("mc", ()):
            market = change["id"]
            if "marketDefinition" in change:
                self.definitions[market] = change["marketDefinition"]
            if change.get("img"):
                self.backs = {key: ladder for key, ladder in self.backs.items() if key[0] != market}
            for runner in change.get("rc", ()):
                key = market, source(runner["id"], runner.get("hc", 0))
                ladder = self.backs.setdefault(key, {})
                for price, size in runner.get("atb", ()):
                    if size == 0:
                        ladder.pop(Decimal(price), None)
                    else:
                        ladder[Decimal(price)] = Decimal(size)
                if "ltp" in runner:
                    self.last[key] = Decimal(runner["ltp"])
        return message

    def best(self, market, runner):
        ladder = self.backs.get((market, runner))
        if not ladder:
            return None
        price = max(ladder)
        return price, ladder[price]

    def runners(self, market):
        return self.definitions[market]["runners"]
