"""``python -m kairos_installer CHECKOUT ARGUMENTS...``: what the launchers run when the runtime is not ready."""

from __future__ import annotations

import sys

from kairos_installer.launch import main

sys.exit(main(sys.argv[1:]))
