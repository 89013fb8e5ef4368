"""Reports of what went wrong: missing, refused, disturbed, incomparable; and a terminal in the place of a pipe."""

import json

import pytest
from rich.console import Console

from odyssey.bench import compare, output, page, report
from odyssey.bench.race import Outcome, Spread
from odyssey.bench.suites import OURS, Row
from odyssey.bench.tables import Section, judged, open_line
from odyssey.errors import FormatError
from odyssey.testing.case import Deviation


def row(outcome=None, **changed):
    outcome = outcome or Outcome({OURS: (1e-6, 1e-6), "numpy": (3e-6, 3e-6)}, {OURS: 1, "numpy": 1}, {})
    return Row("add", "16", "float32", "scalar", 1, outcome=outcome, **changed)


def test_rows_that_are_missing_wrong_or_disturbed_have_a_footnote():
    rows = [
        row(Outcome({}, {}, {}), missing="not built"),
        row(Outcome({}, {}, {OURS: "off by 3"})),
        row(Outcome({OURS: (1e-6, 1e-6)}, {OURS: 1}, {"numpy": "slow"}, {OURS: 2})),
    ]
    table = report.rows_table("sums", rows, ["numpy"])
    assert [cells[4] for cells in table.rows] == ["not available", "wrong", f"{report.DISTURBED}1.00 µs"]
    assert table.rows[2][-1] == "wrong"
    assert len(table.notes) == 4
    assert report.factor(None) == report.part(None) == report.NOTHING


def test_a_page_says_what_was_wrong_too():
    for one, time in (
        (row(Outcome({}, {}, {}), missing="not built"), "not available"),
        (row(Outcome({}, {}, {OURS: "x"})), "wrong"),
    ):
        assert page._line(one.as_dict(), ["numpy"])["time"] == time
    line = page._line(row(deviation=Deviation(0.5, 0, "of the bound", None, None)).as_dict(), ["torch"])
    assert line["peers"] == [None]
    assert line["error"] == "50 % of the bound"
    assert page._error({"unit": "ulp", "largest": 1.0}) == "1 ulp"
    assert page._error(None) == report.NOTHING


def test_a_terminal_sees_tables_in_colour_and_what_is_measured(monkeypatch):
    console = Console(force_terminal=True, width=100, record=True)
    out = output.Output()
    monkeypatch.setattr(out, "_console", console)
    with out.status() as update:
        update("something")
    section = Section("Goals", [judged("a", "", Spread.of([2.0]), 1.0, "x"), open_line("b", "nobody")], [row()])
    out.section(section)
    out.verdict()
    text = console.export_text()
    assert "1 met, 1 not available" in text
    assert "b: nobody" in text


def test_a_file_that_is_no_run_is_refused(tmp_path):
    path = tmp_path / "old.json"
    for content in ('{"rows": 3}', "[]", "{", '{"no": 1}'):
        path.write_text(content)
        with pytest.raises(FormatError, match="expected the JSON of"):
            compare.read_run(path)


def test_races_that_only_one_run_has_are_left_out_and_named():
    old = {
        "rows": [row().as_dict(), {**row().as_dict(), "op": "exp"}, {**row().as_dict(), "size": "17", "samples": {}}]
    }
    new = {"rows": [row().as_dict(), {**row().as_dict(), "size": "17"}, {**row().as_dict(), "size": "18"}]}
    json.dumps(old)
    assert [change.key[:2] for change in compare.changes(old, new)] == [("add", "16")]
    assert compare.comparison(old, new).notes[-1] == "not measured now: exp"
    faster = {"rows": [{**row().as_dict(), "samples": {OURS: [5e-7, 5e-7]}}]}
    assert compare.changes(old, faster)[0].verdict == "faster"
