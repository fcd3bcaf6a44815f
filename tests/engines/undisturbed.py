"""A feed run once, whole and undisturbed, on embedded parts: what is left of any other run is held against it."""

import json
import time

from local_pipeline import ACCOUNTS, Pipeline, finish_replay
from services import SERVICES
from test_kill import Outcome

SETTLE_S = 120


class Embedded(Pipeline):
    """On embedded parts, whatever others run on."""

    engines = None


def run_whole(folder, messages):
    """Run a feed, return what it left."""
    path = folder / "feed.ndjson"
    path.write_text("".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages))
    pipeline = Embedded(folder / "whole").start("--feed", "none")
    try:
        report = finish_replay(pipeline.replay(path, provider="canonical"))
        return Outcome(pipeline, pipeline.wait_through(report["accepted"], deadline_s=SETTLE_S))
    finally:
        pipeline.kill()


def settled(services, names=tuple(SERVICES), ports=ACCOUNTS):
    """Wait until all that was accepted is through, allowing for what was unknown and did arrive."""
    until = time.monotonic() + SETTLE_S
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
