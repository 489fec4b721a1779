#!/usr/bin/env python3
"""Looks at report pages in a real browser and compares them with the summary.json beside them.

    python3 examples/tests/browser/check_report.py DIRECTORY...

Each directory holds report.html and summary.json, as `incident --out DIRECTORY` leaves them; screenshots
(desktop and phone, light and dark) are written beside them. Needs Python 3.9 or newer and `chromium` on the
path, nothing else. Prints one line for each page and each fault; exit status 1 where there is a fault, 2 where
the browser is missing. Loads files alone: no network.
"""

import base64
import hashlib
import json
import math
import pathlib
import re
import sys

# A check leaves nothing in the tree it checks.
sys.dont_write_bytecode = True
from chrome import Chrome  # noqa: E402

SCREENS = [("desktop", 1280, 900), ("phone", 390, 844)]
SCHEMES = ["light", "dark"]
UNITS = {
    "ms": {"µs": 1e-3, "ms": 1.0, "s": 1e3},
    "secs": {"s": 1.0},
    "share": {"%": 0.01},
    "rate": {"/s": 1.0},
    "score": {"": 1.0},
    "times": {"×": 1.0},
    "count": {"": 1.0},
    "moment": {"s": 1.0},
    "lost": {"": 1.0},
    "bytes": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
}
# Numbers that the page must show, every one of them, wherever the summary has them.
SHOWN = ("key", "services", "edges", "alarms", "causes", "logs", "profile", "balances", "export", "conformance")


def at_pointer(summary, pointer):
    """The value at a JSON pointer; the summary's keys need no escapes."""
    value = summary
    for step in pointer.split("/")[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def leaves(value, at=""):
    """Every number below a value with its pointer."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{at}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, f"{at}/{place}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield at, value


def expected(summary, figure):
    """The number or text that the summary has for a figure of the page."""
    value = at_pointer(summary, figure["at"])
    if figure["as"] == "lost":
        return sum(loss["count"] for loss in value)
    if figure["as"] == "moment" and summary["fault"]:
        return value - summary["fault"]["at_secs"]
    return value


def as_shown(text):
    """Text as the page shows it: without what would steer a terminal or turn the direction of writing."""
    text = re.sub(r"[\t\n\r]", " ", text)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]", "\ufffd", text)


def agrees(summary, figure):
    """Whether a figure says what the summary says, to the last digit it shows."""
    value, text, written = expected(summary, figure), figure["text"], figure["as"]
    if value is None:
        return text == "–"
    if written in ("text", "digits"):
        return text == as_shown(str(value))
    if written == "ordinal":
        return re.fullmatch(rf"{value}(st|nd|rd|th)", text) is not None
    met = re.fullmatch(r"([<+−]?)([\d.\u202f]*\d)\u202f?(µs|ms|s|%|/s|×|[kMGT]?B|)", text)
    if not met or met[3] not in UNITS[written]:
        return False
    sign, digits, factor = met[1], met[2].replace("\u202f", ""), UNITS[written][met[3]]
    shown = float(digits) * factor
    if sign == "<":
        return 0 < value < shown
    last_digit = factor * 10 ** -len(digits.partition(".")[2])
    return abs((-shown if sign == "−" else shown) - value) <= last_digit / 2 * 1.000001


def scale(text):
    """The function of an axis, as the page describes it: kind, domain, range."""
    kind, *numbers = text.split(" ")
    low, high, first, last = map(float, numbers)
    bend = math.log if kind == "log" else lambda value: value

    def place(value):
        value = min(max(value, low), high)
        return first + (bend(value) - bend(low)) / (bend(high) - bend(low)) * (last - first)

    return place


def line_faults(summary, line):
    """Where a timeline's points are not those of the summary."""
    values = at_pointer(summary, line["at"])
    down = scale(line["e"] if line["at"].endswith("error_share") else line["y"])
    along = scale(line["x"])
    times = summary["timeline"]["at_secs"]
    wanted = [(along(time), down(value)) for time, value in zip(times, values) if value is not None]
    drawn = [tuple(map(float, point)) for point in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line["d"])]
    if len(wanted) != len(drawn):
        return [f"{line['at']}: {len(drawn)} points drawn of {len(wanted)}"]
    off = [(a, b) for a, b in zip(wanted, drawn) if math.dist(a, b) > 0.12]
    return [f"{line['at']}: {len(off)} points elsewhere, first {off[0]}"] if off else []


def content_faults(summary, page):
    """What the page shows otherwise than the summary has it."""
    faults = [f"{figure['at']}: page says {figure['text']!r}, summary {expected(summary, figure)!r}"
              for figure in page["figures"] if not agrees(summary, figure)]
    if json.loads(page["data"]) != summary:
        faults.append("the data in the page are not those of summary.json")
    shown = {figure["at"] for figure in page["figures"]}
    for name in SHOWN:
        missing = [at for at, value in leaves(summary[name], f"/{name}") if at not in shown and value != 0]
        if name == "export" and summary["export"]["requests"] == 0:
            continue
        if name == "key" and not summary["fault"]:
            missing = [at for at in missing if "rank" not in at and "time_to" not in at]
        faults += [f"{at}: not on the page" for at in missing]
    exhaustion = leaves((summary["memory"] or {}).get("exhaustion"), "/memory/exhaustion")
    faults += [f"{at}: not on the page" for at, value in exhaustion if at not in shown]
    faults += [fault for line in page["lines"] for fault in line_faults(summary, line)]
    return faults + part_faults(summary, page)


def part_faults(summary, page):
    """Parts of the page that ought to be there, or ought not."""
    tracks = len(summary["timeline"]["tracks"]) if summary["timeline"]["at_secs"] else 0
    selves = sum(edge["caller"] == edge["callee"] for edge in summary["edges"])
    graph = {"nodes": len(summary["services"]), "edges": len(summary["edges"])}
    counted = [
        ("visible graphs", len(page["graphs"]), 1 if summary["services"] else 0),
        ("timelines", page["panels"], tracks),
        ("lines in timelines", len(page["lines"]), 3 * tracks),
        ("marks of the fault", page["marks"]["fault"], tracks if summary["fault"] else 0),
        ("marks of the alarm", page["marks"]["alarm"], tracks if summary["incident"] else 0),
        ("pictures or sections without a name", page["unnamed"], 0),
    ]
    for drawn in page["graphs"]:
        counted += [("nodes", drawn["nodes"], graph["nodes"]), ("edges", drawn["edges"], graph["edges"])]
        counted.append(("drawn ways", drawn["ways"], graph["edges"]))
    faults = [f"{name}: {met} instead of {wanted}" for name, met, wanted in counted if met != wanted]
    faults += flame_faults(summary["profile"], page)
    for name, wanted in [("causes", summary["causes"]), ("logs", summary["logs"]), ("profile", summary["profile"]),
                         ("alarms", summary["alarms"]), ("promises", summary["promises"])]:
        if bool(wanted) != (name in page["sections"]):
            faults.append(f"section {name} is {'missing' if wanted else 'empty'}")
    return faults + ([] if selves <= graph["edges"] else ["more loops than edges"])


def flame_faults(profile, page):
    """Where the flame graph does not show the function that moved most, with its own shares."""
    if not page["tips"]:
        return []
    if not profile or not page["flame"]:
        return ["a flame graph without a profile, or without boxes"]
    faults = []
    for function in profile["functions"][:1]:
        own = [re.search(r"itself ([\d.]+) % before, ([\d.]+) % after", tip) for tip in page["tips"]
               if tip.split("\n")[0] == as_shown(function["function"])]
        for side, name in ((1, "before"), (2, "after")):
            shown = sum(float(shares[side]) for shares in own if shares)
            # Boxes too narrow to draw are left out, and each shown one is rounded.
            if not own or abs(shown - function[name] * 100) > 1.0 + 0.05 * len(own):
                faults.append(f"flame graph: {function['function']} has {shown} % {name}, summary {function[name]}")
    return faults


def look_faults(page):
    """What a reader would see go wrong."""
    faults = []
    if page["width"] > page["inner"] or page["wide"]:
        faults.append(f"the page is wider than its screen: {page['width']} > {page['inner']}: {page['wide']}")
    faults += [f"contrast {ratio:.2f}: {what}" for ratio, what in page["faint"]]
    faults += [f"labels: {what}" for what in page["overlapping"]]
    return faults


def script_faults(page):
    """The policy must allow exactly the script that is there."""
    faults = []
    for script in page["script"]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        if f"'sha256-{digest}'" not in page["csp"]:
            faults.append(f"script.js has changed: SCRIPT_HASH must be sha256-{digest}")
    return faults


def readout_faults(chrome, summary):
    """Pointing at a timeline must show the values of that moment in every panel, and give back the words."""
    if not summary["timeline"]["at_secs"] or not summary["timeline"]["tracks"]:
        return []
    find = "document.querySelector('figure[data-track]')"
    chrome.evaluate(f"{find}.scrollIntoView({{block: 'center'}})")
    box = chrome.evaluate(f"(() => {{ const b = {find}.querySelector('svg').getBoundingClientRect();"
                          " return [b.left + b.width * 0.5, b.top + b.height * 0.4]; })()")
    words = "[...document.querySelectorAll('.readout')].map((part) => part.textContent)"
    before = chrome.evaluate(words)
    chrome.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    during = chrome.evaluate(words)
    chrome.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    faults = []
    if not all(re.match(r"[+−]?[\d.]+\u202fs · p50 .* · p95 .* · errors ", text) for text in during):
        faults.append(f"readout: pointing shows {during[0]!r}")
    if chrome.evaluate(words) != before:
        faults.append("readout: the words do not come back")
    return faults


def check(chrome, directory):
    """Every fault of one page, on every screen."""
    report = (directory / "report.html").resolve()
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    in_page = (pathlib.Path(__file__).parent / "in_page.js").read_text(encoding="utf-8")
    faults, figures = [], 0
    for screen, width, height in SCREENS:
        for scheme in SCHEMES:
            chrome.open(report.as_uri(), width, height, scheme)
            page = chrome.evaluate(in_page)
            chrome.screenshot(directory / f"{screen}-{scheme}.png")
            found = content_faults(summary, page) + look_faults(page) + script_faults(page)
            if screen == "desktop":
                found += readout_faults(chrome, summary)
            found += chrome.complaints(report.as_uri())
            faults += [f"{screen} {scheme}: {fault}" for fault in found]
            figures = len(page["figures"])
    return faults, figures


def main(directories):
    if not directories:
        print(__doc__)
        return 2
    try:
        chrome = Chrome()
    except FileNotFoundError as missing:
        print(f"skipped: {missing}")
        return 2
    failed = False
    with chrome:
        for directory in map(pathlib.Path, directories):
            faults, figures = check(chrome, directory)
            failed = failed or bool(faults)
            print(f"{directory}: {figures} figures agree with summary.json" if not faults
                  else f"{directory}: {len(faults)} faults")
            for fault in faults:
                print(f"  {fault}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
