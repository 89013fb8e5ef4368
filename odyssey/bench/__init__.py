"""Benchmarks that can be believed: races against peers, and against what the machine can do at best.

- `race`: contenders take turns round by round; a wrong one is refused.
- `limits`: the FMA peak and the memory's bandwidth, measured in the same race.
- `suites`: the operations of `odyssey.testing.cases`, against the peers their rows name.
- `tables`: fixed sets of goals, each line with what was measured.
- `report`: the results for a terminal, a file, JSON or Markdown.
"""
