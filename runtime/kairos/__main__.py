"""``python -m kairos``: the command line."""

from __future__ import annotations

import sys

from kairos.allocator import keep_memory

keep_memory()

from kairos.cli import main  # noqa: E402  nothing may have started threads before

sys.exit(main())
