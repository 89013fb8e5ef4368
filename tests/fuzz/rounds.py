"""How much to fuzz. By default a few calls an operation, always the same ones: what every run of the tests can afford.

`ODYSSEY_FUZZ_ROUNDS=8` makes so many rounds of 20 calls for each operation, and these too are always the same: what
`.ci/run` does, so that a change is never refused for a draw that an earlier one was spared. `ODYSSEY_FUZZ_SECONDS=120`
draws new ones for about so long in total, shared out among the operations. A finding is shrunk, and printed with the
seed that repeats it: `ODYSSEY_FUZZ_SEED`.
"""

import os
import random

from hypothesis import HealthCheck, Phase, settings

SECONDS = float(os.environ.get("ODYSSEY_FUZZ_SECONDS", 0))
ROUNDS = int(os.environ.get("ODYSSEY_FUZZ_ROUNDS", 0))
SEED = int(os.environ.get("ODYSSEY_FUZZ_SEED", random.SystemRandom().randrange(1 << 32) if SECONDS else 0))
ROUND = settings(
    max_examples=20 if SECONDS or ROUNDS else 8,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
