"""``python -m midge``: the same as the ``midge`` command.

Nothing happens here but the call; what the command does is in ``midge.cli``.
"""

import sys

from midge.cli import main

if __name__ == "__main__":
    sys.exit(main())
