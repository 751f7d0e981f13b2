"""Which credentials a configuration entry has: its own, or what the environment holds for its provider."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pllm.core.config.model_entry import Params
from pllm.core.deployment import AwsKeys
from pllm.core.secret import Secret
from pllm.providers.base import ProviderRow

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CredentialError(Exception):
    """The entry's credentials cannot be used; the message says why and names no secret."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One way in. `label` tells keys of one entry apart without telling anything of the key. `key`: an API key, or Google's
    credential (JSON or an access token). `aws`: keys of the entry's own, in place of the function's role."""

    label: str = ""
    key: Secret | None = None
    aws: AwsKeys | None = None


def credentials_of(params: Params, row: ProviderRow, variables: Mapping[str, str]) -> list[Credential]:
    """Every credential of an entry: each makes a deployment of its own. Empty: none was found. Raises CredentialError."""
    _check_kind(params, row)
    if params.credentials:
        return [Credential(key=Secret(_google(params.credentials)))]
    if params.aws_access_key_id:
        return [Credential(aws=_aws(params))]
    if params.api_key:
        several = len(params.api_key) > 1
        return [Credential(str(n) if several else "", _key(key)) for n, key in enumerate(params.api_key, start=1)]
    if row.key_env is None:
        return []
    found = sorted((_label(name, row.key_env), name) for name in _named(row.key_env, variables))
    return [Credential(label, _key(variables[name])) for label, name in found]


def _key(given: str) -> Secret:
    """Without the line break that files and consoles leave at its end: no header can carry one. Google's JSON has some."""
    text = given.strip()
    if not text.startswith("{") and _CONTROL.search(text):
        raise CredentialError("its API key has a line break or another control character in it.")
    return Secret(text)


def _check_kind(params: Params, row: ProviderRow) -> None:
    """Nothing that looks like a credential may be passed over: the operator would believe it was used."""
    aws = any((params.aws_access_key_id, params.aws_secret_access_key, params.aws_session_token))
    if params.credentials and row.kind != "vertex":
        raise CredentialError(f"'credentials' are Google's, and {row.title} does not take them.")
    if aws and row.kind != "bedrock":
        raise CredentialError(f"'aws_access_key_id' and its companions are AWS's, and {row.title} does not take them.")
    if params.api_key and (params.credentials or aws):
        other = "credentials" if params.credentials else "aws_access_key_id"
        raise CredentialError(f"'api_key' and '{other}' are both given: one of them is to be used.")
    if aws and not (params.aws_access_key_id and params.aws_secret_access_key):
        raise CredentialError("'aws_access_key_id' and 'aws_secret_access_key' belong together, and one is missing.")


def _aws(params: Params) -> AwsKeys:
    assert params.aws_access_key_id and params.aws_secret_access_key, "checked before"
    token = Secret(params.aws_session_token) if params.aws_session_token else None
    return AwsKeys(params.aws_access_key_id, Secret(params.aws_secret_access_key), token)


def _google(given: str) -> str:
    """The credential's JSON, read from its file where a path was given."""
    if given.lstrip().startswith("{"):
        return given
    try:
        text = Path(given).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"the file of 'credentials' cannot be read ({type(error).__name__}).") from None
    if not text.lstrip().startswith("{"):
        raise CredentialError("the file of 'credentials' holds no JSON object.")
    return text


def _named(prefix: str, variables: Iterable[str]) -> list[str]:
    return [name for name in variables if name == prefix or name.startswith(f"{prefix}_")]


def _label(name: str, prefix: str) -> str:
    return name[len(prefix) :].lstrip("_").lower()
