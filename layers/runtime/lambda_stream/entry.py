"""The module awslambdaric imports as the function's handler; importing it imports the function's app.

It does its work at import time so that whatever the app's module raises reaches awslambdaric as the init error it is.
"""

import os

from lambda_stream.runtime import MODE_VARIABLE, load_handler

handler = load_handler(os.environ["_HANDLER"], os.environ.get(MODE_VARIABLE, "stream"))
