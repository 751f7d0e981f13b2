"""The module awslambdaric imports as the function's handler; importing it imports the function's app.

It does its work at import time so that whatever the app's module raises reaches awslambdaric as the init error it is.
"""

import gc
import os

from lambda_stream.runtime import MODE_VARIABLE, load_handler

handler = load_handler(os.environ["_HANDLER"], os.environ.get(MODE_VARIABLE, "stream"))

# What the init made stays for the life of the environment: no collection between two tokens need walk through it.
gc.freeze()
gc.enable()
