"""``python -m paiid_pipeline.cli`` is ``paiid``."""

import sys

from paiid_pipeline.cli import main

sys.exit(main())
