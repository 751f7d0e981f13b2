"""How the command line talks to a control plane: HTTP and JSON, and errors as sentences."""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pllm.cli_arguments import url_problem

LOCAL_URL = "http://127.0.0.1:8787"
LOCAL_KEY = "sk-pllm-local"
"""What `pllm local` listens on and takes where nothing else is said."""

_TIMEOUT_S = 35.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class CommandError(Exception):
    """A command that did not work, in a sentence for who typed it. `code`: what the process ends with."""

    code = 1


class UsageError(CommandError):
    """One that could not work as it was typed: nobody was asked anything."""

    code = 2


@dataclass(frozen=True, slots=True)
class Client:
    """`url` is a gateway's, with or without the /v1 of its OpenAI endpoint."""

    url: str
    key: str

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a successful answer from below /api/admin. Raises CommandError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "accept": "application/json", "content-type": "application/json"}
        try:
            address = f"{self.url.rstrip('/').removesuffix('/v1')}/api/admin/{path}"
            request = Request(address, data, headers, method=method)  # noqa: S310 - the scheme was looked at
            with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            raise CommandError(_said(error)) from None
        except (URLError, TimeoutError, OSError) as error:
            raise CommandError(f"{self.url} cannot be reached: {getattr(error, 'reason', None) or error}") from None
        except HTTPException as error:
            raise CommandError(f"{self.url} does not speak HTTP ({type(error).__name__}): is it a gateway?") from None
        except ValueError:
            raise CommandError(f"{self.url} answered with something that is not JSON: is it a gateway?") from None


class _NoRedirect(HTTPRedirectHandler):
    """A redirected request would take the key along to wherever it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options that say which gateway."""
    parser.add_argument("--url", help=f"the gateway (default: PLLM_URL, else {LOCAL_URL})")
    parser.add_argument("--key", help="an administrator's key (default: PLLM_KEY, PLLM_MASTER_KEY, else the local gateway's)")
    parser.add_argument("--json", action="store_true", help="print the answer's JSON")


def connect(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Client:
    """Raises UsageError where no key is known, or where one would travel in the clear."""
    url = arguments.url or environment.get("PLLM_URL") or LOCAL_URL
    if (problem := url_problem(url)) is not None:
        raise UsageError(f"{'--url' if arguments.url else 'PLLM_URL'}: {problem}")
    parts = urlsplit(url)
    local = parts.hostname in _LOOPBACK
    if parts.scheme == "http" and not local:
        raise UsageError(f"{url}: a key is not sent over http, except to this machine; say https")
    key = arguments.key or environment.get("PLLM_KEY") or environment.get("PLLM_MASTER_KEY") or (LOCAL_KEY if local else "")
    if not key:
        raise UsageError("no key: give --key, or set PLLM_KEY")
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{'--key' if arguments.key else 'PLLM_KEY'}: a key has nothing but printable ASCII characters")
    return Client(url, key)


def _said(error: HTTPError) -> str:
    """What the gateway said, or that something else answered."""
    try:
        body = json.loads(error.read())
        return f"{body['error']['message']} (HTTP {error.code})"
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code} without an error that a gateway would give: is the URL right?"
