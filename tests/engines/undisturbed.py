"""A feed run once, whole and undisturbed, on embedded parts: what is left of any other run is held against it."""

import json
import time
from hashlib import sha1

from local_pipeline import ACCOUNTS, Pipeline
from pressing_sender import PressingSender
from services import SERVICES

SETTLE_S = 120
PER_S_MIN = 500
"""What any machine gets through, at least."""
RECEIVED = {"updated", "stale"}
"""What depends on when a message came."""


class Embedded(Pipeline):
    """On embedded parts, whatever others run on."""

    engines = None


class Left:
    """What a run left: its account, and of every event its state and its whole history, rev by rev, as digests."""

    def __init__(self, pipeline, account):
        self.account = account
        self.events = {name: _digest(event) for name, event in pipeline.state().items()}
        self.histories = {name: [_digest(entry) for entry in pipeline.history(name)] for name in self.events}


def _digest(shown):
    told = {name: value for name, value in shown.items() if name not in RECEIVED}
    return sha1(json.dumps(told, sort_keys=True).encode()).hexdigest()


def patience_s(messages):
    return SETTLE_S + len(messages) / PER_S_MIN


def run_whole(folder, messages):
    """Run a feed, return what it left."""
    pipeline = Embedded(folder / "whole").start("--feed", "none")
    try:
        sender = PressingSender(pipeline.url(4000), messages)
        sender.start()
        sender.finish()
        account = pipeline.wait_through(len(messages) - sender.refused, deadline_s=patience_s(messages))
        return Left(pipeline, account)
    finally:
        pipeline.kill()


def check_left(found, whole):
    """Every event and every rev of it are those of the undisturbed run, and the accounts agree."""
    assert found.events.keys() == whole.events.keys()
    for name, history in whole.histories.items():
        theirs = found.histories[name]
        assert len(theirs) == len(history), name
        differing = [rev for rev, (one, other) in enumerate(zip(theirs, history, strict=True), 1) if one != other]
        assert differing == [], name
    assert found.events == whole.events
    check_account(found.account, whole.account)


def settled(services, names=tuple(SERVICES), ports=ACCOUNTS, deadline_s=SETTLE_S):
    """Wait until all that was accepted is through, allowing for what was unknown and did arrive."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        account = services.account(ports)
        # what was unknown and did arrive is processed and was never counted as accepted
        through = -account["unknown"] <= account["pending"] <= 0
        if through and account["changes"] == account["updates_published"] and all(map(services.ready, names)):
            return account
        time.sleep(0.1)
    raise AssertionError(f"not through: {account}")


def check_account(account, whole):
    outcomes = sum(account[name] for name in ("applied", "unchanged", "stale", "duplicate", "control", "pending"))
    outcomes += sum(account["dead_lettered"].values())
    assert account["received"] == account["accepted"] + sum(account["refused"].values()) + account["unknown"]
    # what was unknown and did arrive has an outcome, too
    assert account["accepted"] <= outcomes <= account["accepted"] + account["unknown"], account
    assert account["applied"] == whole["applied"], "each effect once"
    assert account["changes"] == whole["changes"] == account["updates_published"]
