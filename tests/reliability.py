"""The table of docs/reliability.md: what was tried, expected and seen, from the tests that try it.

`python -m tests.reliability REPORT.xml …` writes the page from the JUnit reports of pytest runs, so that nothing stands
in it which no test has seen: the name of a test says what it expects.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
SUITES = {
    "test_tampers": "A release, changed on its way",
    "test_exports": "Exports, and an export changed on its way",
    "test_compaction": "Killed while parts are merged",
    "test_takedown": "Killed while something is taken down",
    "test_mentions": "An id looked for in files of any kind",
    "test_outside_text": "What strangers wrote, in spreadsheets and terminals",
    "test_visible": "What strangers wrote, printed and logged",
    "test_list_layouts": "Lists of strangers",
    "test_bombs": "Small files that ask for gigabytes",
    "test_fuzz": "Spoiled input, for every reader",
    "test_metadata": "A site that gives orders",
    "test_clock": "A site that would hold us",
    "test_faults": "A site that fails, a fault a video",
    "test_faulty_site": "A site that fails, the whole way",
    "test_beside": "Read while another process writes",
    "test_lease": "Two runs, and stores that answer badly",
    "test_stopping": "Told to stop",
    "test_serve_told_to_stop": "The scheduler, told to stop",
    "test_exposure": "Secrets, and code from outside",
    "test_secrets": "Secrets planted in a run",
    "test_hostile_machine": "A hostile machine",
    "test_full_disk": "A full disk",
    "test_odd_environment": "Odd environments",
    "test_kill": "Killed in every stage",
    "test_featurize_killed": "Killed at each write of features",
    "test_train_killed": "Killed in training",
    "test_random_kills": "Killed and stopped at random",
    "test_compose": "The composed services, as processes",
}
HEAD = """# What was tried against it

Written by `python -m tests.reliability` from pytest's reports: each line is a test; what it expects is its name, and
what was seen is how it ended. Run them again with `pytest --junit-xml=REPORT.xml` and give the reports to the program.

"""


def read_cases(report: Path) -> list[tuple[str, str, str]]:
    """(suite, what was tried and expected, what was seen) of each test of a report."""
    cases = []
    for case in ElementTree.parse(report).iter("testcase"):
        suite = (case.get("classname") or "").rpartition(".")[2]
        ended = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
        seen = {None: "as expected", "skipped": "not tried here"}.get(ended, "NOT as expected")
        cases.append((suite, (case.get("name") or "").removeprefix("test_").replace("_", " "), seen))
    return cases


def write_page(reports: list[Path]) -> str:
    """The page; kinds of one test are one line, as long as all of them were seen the same."""
    cases = [case for report in reports for case in read_cases(report)]
    parts = [HEAD]
    for suite, title in SUITES.items():
        seen: dict[tuple[str, str], list[str]] = {}
        for _, tried, how in (case for case in cases if case[0] == suite):
            name, _, kind = tried.partition("[")
            seen.setdefault((name, how), []).append(kind.rstrip("]"))
        if seen:
            parts += [f"## {title}\n\n| tried, and expected | kinds | seen |\n|---|---|---|\n"]
            parts += [f"| {name} | {_kinds(kinds)} | {how} |\n" for (name, how), kinds in seen.items()] + ["\n"]
    return "".join(parts).rstrip() + "\n"


def _kinds(kinds: list[str]) -> str:
    named = [kind.replace("|", "/").replace("<", "").replace("`", "") for kind in kinds if kind]
    return f"{len(named)}: {'; '.join(named)}" if named else "1"


if __name__ == "__main__":
    PAGE.write_text(write_page([Path(name) for name in sys.argv[1:]]), encoding="utf-8")
