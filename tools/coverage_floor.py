"""Fails where the tests reach less of the package's lines, or of its branches, than they should: per cent of each.

    python tools/coverage_floor.py coverage.json 95 95

coverage.json is what `pytest --cov=odyssey --cov-branch --cov-report=json:coverage.json` leaves.
"""

import json
import sys


def main() -> int:
    path, floors = sys.argv[1], [float(floor) for floor in sys.argv[2:4]]
    with open(path) as file:
        report = json.load(file)
    totals = report["totals"]
    parts = {
        "lines": 100 * totals["covered_lines"] / totals["num_statements"],
        "branches": 100 * totals["covered_branches"] / totals["num_branches"],
    }
    missing = {
        name: len(file["missing_lines"]) + len(file["missing_branches"]) for name, file in report["files"].items()
    }
    for name, count in sorted(missing.items(), key=lambda item: -item[1])[:12]:
        print(f"{report['files'][name]['summary']['percent_covered']:6.1f} %  {count:4d} missing  {name}")
    short = False
    for (what, part), floor in zip(parts.items(), floors, strict=True):
        print(f"{part:6.2f} % of {what}, at least {floor:g}")
        short |= part < floor
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
