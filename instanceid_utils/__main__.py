"""``python -m instanceid_utils``: see `cli`."""

import sys

from instanceid_utils.cli import main

if __name__ == "__main__":
    sys.exit(main())
