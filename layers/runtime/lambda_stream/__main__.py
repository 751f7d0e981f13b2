"""`python -m lambda_stream module.attribute`: what the layer's exec wrapper starts."""

import sys

from lambda_stream.runtime import main

if __name__ == "__main__":
    main(sys.argv)
