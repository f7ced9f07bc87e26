"""What a GPU does with this code: `python -m benchmarks.gpu_check`."""

import time

BEGIN = time.monotonic()
"""Before torch is loaded, which takes of the time that there is."""
