"""The one event loop of an execution environment."""

import asyncio
import functools


@functools.cache
def environment_loop() -> asyncio.AbstractEventLoop:
    """The loop on which every invocation of this environment runs, made at the first call.

    It is never closed, so connection pools made in one invocation are alive in the next. It is also the current loop of the
    main thread, so what a handler module makes at import time belongs to it.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
