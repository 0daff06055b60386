"""``python -m kairos``: the command line."""

from __future__ import annotations

import sys

from kairos.cli import main

sys.exit(main())
