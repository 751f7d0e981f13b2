"""Settings of the whole suite: the same examples on every run, so that a red run is red again.

`HYPOTHESIS_PROFILE=explore pytest ...` looks for new ones.
"""

import os

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))
