"""The page of a run, and the comparison of two."""

import json

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from click.testing import CliRunner

from odyssey.bench.compare import bootstrap, changes
from odyssey.bench.race import Rules
from odyssey.cli.main import cli


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr("odyssey.bench.race.QUICK", Rules(sample_seconds=0, min_rounds=3, max_rounds=3))
    monkeypatch.setattr("odyssey.bench.limits.LONG", 0.0)
    monkeypatch.setattr("odyssey.bench.limits._places", lambda: [("L2", 16384)])


def bench(*args):
    return CliRunner().invoke(cli, ["bench", *map(str, args)])


def test_a_report_is_one_page_with_its_json_and_can_be_compared_with(tmp_path):
    page, found = tmp_path / "report.html", tmp_path / "report.json"
    result = bench("--op", "exp", "--quick", "--against", "numpy", "--report", page)
    assert result.exit_code == 0, result.output
    html = page.read_text()
    assert html.count("<svg") == 1
    assert "src=" not in html
    assert "exp" in html
    data = json.loads(found.read_text())
    assert data["rows"][0]["error"]["unit"] == "ulp"
    again = bench("--quick", "--against", "numpy", "--compare", found)
    assert again.exit_code == 0, again.output
    assert "new/old (95 %)" in again.output
    found.write_text("{}")
    assert bench("--compare", found).exit_code == 2


def test_what_got_slower_is_said_with_its_interval():
    def run(times):
        row = {"op": "exp", "size": "16", "dtype": "float32", "isa": "scalar", "threads": 1}
        return {"rows": [{**row, "samples": {"odyssey": times}, "seconds": {"median": sorted(times)[1]}}]}

    old = run([1.0, 1.01, 0.99])
    (slower,) = changes(old, run([1.5, 1.49, 1.52]))
    assert slower.verdict == "slower"
    assert slower.ratio.low > 1.4
    assert changes(old, run([1.0, 1.2, 0.9]))[0].verdict == "same"
    assert bootstrap([2.0] * 5, [1.0] * 5).high == 0.5
