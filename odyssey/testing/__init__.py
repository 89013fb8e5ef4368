"""Fast against reference, for odyssey's own tests and for yours.

- `assert_matches_reference("softmax", x)`: one operation on your arguments.
- `verify()`: every operation on every instruction set.
- `gradcheck(f, inputs)`: a gradient against central differences.
- `digest()`: one number for all the bits.
- `CASES`: the table all of these read, one row per operation.
"""

from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad, Sample
from odyssey.testing.cases import CASES, select
from odyssey.testing.digest import digest, digests
from odyssey.testing.gradcheck import GradientError, check_backward, check_tape, gradcheck
from odyssey.testing.reference_match import assert_matches_reference
from odyssey.testing.tolerance import ByOption, Deviation, Exact, Gamma, Tolerance, Ulp, ulp_distance
from odyssey.testing.verify import Result, verify, verify_case

__all__ = [
    "CASES",
    "ByOption",
    "Call",
    "Case",
    "Deviation",
    "Exact",
    "Gamma",
    "Grad",
    "GradientError",
    "Result",
    "Sample",
    "Tolerance",
    "Ulp",
    "assert_matches_reference",
    "call",
    "check_backward",
    "check_tape",
    "digest",
    "digests",
    "gradcheck",
    "select",
    "ulp_distance",
    "verify",
    "verify_case",
]
