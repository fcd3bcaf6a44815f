"""7 Generator: what the simulator is told to do, and the faults it makes beside what became of them."""

from sb_console.document import account
from sb_console.model import Snapshot
from sb_console.observations import GeneratorSeen
from sb_console.paint import Cell, Column, Line, Row, Table, bar, plot
from sb_console.screens.view import View, blank, number, silence, style_of, told
from sb_console.text import clean, count, ms, rate
from sb_console.ui import Ui

COLUMNS = (
    Column("FAULT", 12),
    Column("RATE", 8, right=True),
    Column("", 12, keep=5),
    Column("STRUCK", 8, right=True),
    Column("WHAT IT DOES", 24, flex=1, keep=6),
    Column("SEEN AS", 30, flex=2),
)
TEXTS = {
    "drop": "a document is never sent",
    "duplicate": "sent again, up to 3 times",
    "reorder": "up to 20 others overtake it",
    "delay": "comes up to 5 s later",
    "corrupt": "one of its bytes is another",
    "truncate": "it ends too early",
    "stale": "its time is up to 1 h old",
    "skew": "a clock off by 10 min",
    "silence": "a producer says nothing",
    "flapping": "a producer comes and goes",
    "burst": "10 s of it all at once",
    "poison": "something nasty follows it",
}


def view(snapshot: Snapshot, ui: Ui) -> View:
    """Make the screen."""
    width, told_now = ui.width, snapshot.generator
    if told_now is None:
        words = ("nothing seen of the generator yet", "dim")
        return View(head=(blank(width), told(width, words, *silence(snapshot, "generator"))))
    counts = told_now.counts
    sending = next((stage.rate_out for stage in snapshot.stages if stage.name == "feed"), None)
    scenario = told_now.scenarios.get(told_now.scenario, "")
    head: list[Line] = [
        blank(width),
        told(
            width,
            (told_now.state, style_of(told_now.state)),
            (f"  {told_now.rate:g} a second wanted", "strong"),
            (f", {rate(sending)} a second sent", ""),
            (f"  seed {told_now.seed}  run {told_now.run or '-'}", "dim"),
            *silence(snapshot, "generator"),
        ),
        told(width, ("scenario ", "dim"), (told_now.scenario, "accent"), (f"  {clean(scenario)}", "dim")),
        told(
            width,
            ("others   ", "dim"),
            ("  ".join(name for name in told_now.scenarios if name != told_now.scenario), "dim"),
        ),
        told(width, ("events   ", "dim"), ("  ".join(f"{k} {v}" for k, v in told_now.events.items()) or "none", "")),
        told(
            width,
            ("sent     ", "dim"),
            (
                "  ".join(f"{name} {count(counts.get(name, 0))}" for name in ("made", "accepted", "retried", "failed")),
                "",
            ),
            (f"  waiting {count(counts.get('waiting', 0))}", "warn" if counts.get("waiting", 0) > 1_000 else ""),
            (f"  late {ms(counts.get('late_ms', 0))}, at most {ms(counts.get('late_ms_max', 0))}", "dim"),
        ),
        blank(width),
    ]
    plotted = plot(snapshot.series.get("feed", ()), width - 2, 5 if ui.height < 34 else 9, "{:.0f}")
    foot = [told(width, ("sent a second, last two minutes", "dim"))]
    foot += [told(width, (each, "spark")) for each in plotted]
    return View(head=tuple(head), table=Table(COLUMNS, _faults(snapshot, told_now)), foot=tuple(foot))


def _faults(snapshot: Snapshot, generator: GeneratorSeen) -> tuple[Row, ...]:
    total = account(snapshot)
    refused = "  ".join(f"{code} {count(number)}" for code, number in generator.refused.items())
    gaps = snapshot.stream.gaps if snapshot.stream is not None else 0
    stale = f"stale {count(total.get('stale', 0))}"
    away = sum(each.state != "up" for each in snapshot.producers if each.provider == "sim")
    producers = f"producers away now {away}"
    waiting = f"records waiting {count(sum(group.lag for group in snapshot.groups))}"
    seen = {
        "drop": f"nothing comes of it; gaps on the stream {gaps}",
        "duplicate": f"duplicate {count(total.get('duplicate', 0))}, unchanged {count(total.get('unchanged', 0))}",
        "reorder": stale,
        "delay": stale,
        "corrupt": f"refused {count(total.get('refused', 0))}  {refused}".strip(),
        "truncate": f"refused malformed {count(total.get('refused:malformed', 0))}",
        "stale": stale,
        "skew": producers,
        "silence": producers,
        "flapping": producers,
        "burst": waiting,
        "poison": f"refused {count(total.get('refused', 0))}",
    }
    rows = []
    for name, probability in generator.faults.items():
        struck = generator.struck.get(name, 0)
        rows.append(
            Row(
                name,
                (
                    Cell(name, "strong" if probability else "", name),
                    number(
                        f"{probability:.2%}" if probability else "off", probability, "warn" if probability else "dim"
                    ),
                    Cell(bar(min(1.0, probability * 10), 12), "warn" if probability else "edge"),
                    number(count(struck), struck, "" if struck else "dim"),
                    Cell(TEXTS.get(name, ""), "dim"),
                    Cell(seen.get(name, "")),
                ),
            )
        )
    return tuple(rows)
