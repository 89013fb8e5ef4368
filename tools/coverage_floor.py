"""Fails where the tests reach less than a floor of the package's lines, or of its branches.

    python tools/coverage_floor.py coverage.json 95

coverage.json is what `pytest --cov=odyssey --cov-branch --cov-report=json:coverage.json` leaves.
"""

import json
import sys


def main() -> int:
    path, floor = sys.argv[1], float(sys.argv[2])
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
    print(", ".join(f"{part:.2f} % of {what}" for what, part in parts.items()), f"(at least {floor:g} % of each)")
    return int(min(parts.values()) < floor)


if __name__ == "__main__":
    sys.exit(main())
