"""`python -m lambda_stream module.attribute`: what the layer's exec wrapper starts."""

import gc
import sys

if __name__ == "__main__":
    # Imports make no garbage, but enough objects to have it looked for dozens of times: a twentieth of a cold start.
    # `lambda_stream.entry` switches the collector on again.
    gc.disable()
    from lambda_stream.runtime import main

    main(sys.argv)
