"""The tests find `one_rank` beside them: what they run in processes of its own."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
