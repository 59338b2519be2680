"""``python -m human3r_bridge``."""

import sys

from human3r_bridge.process import main

sys.exit(main())
