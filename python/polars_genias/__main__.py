"""``python -m polars_genias``: the command line."""

import sys

from polars_genias.cli import main

if __name__ == "__main__":
    sys.exit(main())
