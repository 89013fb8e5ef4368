"""`python -m odyssey` is the same as `odyssey`."""

import sys

from odyssey.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
