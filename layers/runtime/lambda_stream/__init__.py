"""Response streaming for any ASGI app on Python Lambda.

Start it with `python -m lambda_stream module.attribute` (the layer's `bootstrap-wrapper` does); the attribute is an ASGI app.
What an app may call:

* `after_response(work)`: run `work` once the client has its whole answer, before the environment takes the next request.
* `before_snapshot(hook)`, `after_restore(hook)`: SnapStart hooks.

The ASGI scope carries `aws.event` (the event as a dict), `aws.context` (AWS's context object) and `aws.deadline_ms`
(when Lambda will stop the invocation: milliseconds since the epoch).
"""

from lambda_stream.hooks import after_response, after_restore, before_snapshot

__all__ = ["after_response", "after_restore", "before_snapshot"]
