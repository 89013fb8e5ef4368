"""`odyssey bench`: tables for people, files for machines, one line for what is wrong."""

import json

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import CliRunner

from odyssey.bench import report
from odyssey.bench.race import Rules, Spread
from odyssey.bench.tables import TABLES, Line, Request, Section, judged, open_line
from odyssey.cli.main import cli

BRIEF = Rules(sample_seconds=0, min_rounds=1, max_rounds=1)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Measures as little as possible."""
    monkeypatch.setattr("odyssey.bench.race.QUICK", BRIEF)
    monkeypatch.setattr("odyssey.bench.limits.LONG", 0.0)
    monkeypatch.setattr("odyssey.bench.limits._places", lambda: [("L1", 16384)])


def bench(*args):
    return CliRunner().invoke(cli, ["bench", *map(str, args)])


def test_a_family_is_printed_and_written(tmp_path):
    found, text = tmp_path / "bench.json", tmp_path / "bench.md"
    result = bench("elementwise", "--op", "add", "--quick", "--against", "numpy", "--json", found, "--markdown", text)
    assert result.exit_code == 0, result.output
    for heading in ("Machine", "Limits, measured in this run", "elementwise, float32", "vs numpy"):
        assert heading in result.output
    data = json.loads(found.read_text())
    assert {row["op"] for row in data["rows"]} == {"add"}
    assert data["machine"]["libraries"]["numpy"]
    assert data["limits"]
    assert data["rows"][0]["samples"]["odyssey"]
    assert "| add | 4096 |" in text.read_text()


def test_absent_peers_are_named(monkeypatch):
    monkeypatch.setattr("odyssey.bench.peers.find_spec", lambda name: None)
    monkeypatch.setattr("odyssey.testing.peers._module", lambda name: None)
    result = bench("elementwise", "--op", "add", "--quick", "--against", "torch")
    assert result.exit_code == 0, result.output
    assert "absent: torch: torch is not installed; pip install torch" in result.output
    assert "vs torch" not in result.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--table", "nothing"), "expected one of bridge, foundation"),
        (("--op", "nothing"), "found 'nothing'"),
        (("nothing",), "no family 'nothing'"),
        (("--against", "nunpy"), "found 'nunpy'"),
        (("--isa", "sse"), "found 'sse'"),
        (("--threads", "1,x"), "found '1,x'"),
        (("--threads", "0"), "found '0'"),
    ],
)
def test_a_wrong_argument_is_one_line(args, message):
    result = bench(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_table_of_goals_is_judged_and_counted(monkeypatch, tmp_path):
    def table(request: Request):
        request.progress("something")
        yield Section("First", [judged("speed", "scalar", Spread(2.0, 1.9, 2.1), 1.5, "x")])
        yield Section("Second", [judged("size", "", Spread(4.0, 4.0, 4.0), 3.0, "MB", at_most=True, note="too much")])
        yield Section("Third", [open_line("rocket", "not built")])

    monkeypatch.setitem(TABLES, "foundation", table)
    found = tmp_path / "table.json"
    result = bench("--table", "foundation", "--quick", "--json", found)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert any("at least 1.50" in line and line.endswith("met") for line in lines)
    assert any("at most 3.00" in line and line.endswith("short") for line in lines)
    assert "size: too much" in lines
    assert "rocket: not built" in lines
    assert lines[-1] == "1 met, 1 short, 1 not available"
    assert [section["title"] for section in json.loads(found.read_text())["sections"]] == ["First", "Second", "Third"]


def test_goals_are_met_from_the_side_they_name():
    assert judged("a", "", Spread(1.0, 1.0, 1.0), 1.0, "").verdict == "met"
    assert judged("a", "", Spread(0.99, 0.9, 1.2), 1.0, "").verdict == "short"
    assert judged("a", "", Spread(1.01, 0.9, 1.2), 1.0, "", at_most=True).verdict == "short"
    assert judged("a", "", Spread(1.0, 1.0, 1.0), None, "").verdict == "no goal"


def test_tables_are_aligned_and_escaped():
    table = report.Table("T", ("name", "value"), [("a", "1"), ("long", "22")], notes=["note"])
    assert report.plain(table) == "T\n-\nname  value\na         1\nlong     22\nnote\n"
    text = report.markdown(report.Table("T", ("a|b", "c"), [("x|y", "1")]))
    assert "| x\\|y | 1 |" in text
    assert report.rich_table(table).row_count == 2


def test_an_empty_table_is_a_heading():
    assert report.plain(report.Table("T", ("name",), [])).splitlines() == ["T", "-", "name"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (123.4e-6, "123 µs"), (58e-9, "58.0 ns"), (0.0, "0.00 ns")],
)
def test_durations_have_three_digits_and_a_unit(seconds, text):
    assert report.duration(seconds) == text


def test_factors_show_their_quartiles():
    assert report.factor(Spread(2.314, 2.25, 2.4)) == "2.31 (2.25-2.40)"
    assert report.factor(Spread(2.0, 2.0, 2.0)) == "2.00"
    assert report.factor(None) == "-"
    assert report.part(Spread(0.917, 0.9, 0.95)) == "92 %"


def test_lines_without_a_measurement_say_so():
    table = report.section_table(Section("S", [Line(what="x", verdict="not measured", note="why")]))
    assert table.rows == [("x", "-", "-", "-", "not measured")]
    assert table.notes == ["x: why"]
