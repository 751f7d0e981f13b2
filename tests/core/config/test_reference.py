import re
from pathlib import Path

from pllm.core.config.loader import load
from pllm.core.config.pending import PENDING
from pllm.core.config.reference import reference
from pllm.core.config.schema import Config, Params
from pllm.core.config.section import Section


def test_the_page_in_docs_is_current(root: Path) -> None:
    page = (root / "docs" / "config-reference.md").read_text(encoding="utf-8")
    assert page == reference(), "run: pllm config reference -o docs/config-reference.md"


def test_every_key_of_every_section_has_a_row() -> None:
    page = reference()
    sections: list[type[Section]] = [Params, Config, *Section.__subclasses__()]
    for cls in sections:
        for name in cls.__dataclass_fields__:
            assert f"\n| `{name}` | " in page, (cls, name)


def test_rows_show_kind_default_and_credentials() -> None:
    page = reference()
    assert "| `timeout` | duration | `600s` | Longest time for a whole call. |" in page
    assert (
        "| `max_body` | size | `6291456` | Largest request body; beyond it, 413. Lambda takes no more than the default. |"
        in page
    )
    assert "| `model_name` | name | **required** | What clients call it. |" in page
    assert "| `scrape_token` | text |  | Bearer token that may read /metrics and nothing else. *Credential.* |" in page


def test_the_packaged_default_configuration_is_good(root: Path) -> None:
    config = load((root / "layers" / "config" / "config.yaml").read_text(encoding="utf-8"), "config.yaml").config
    providers = {entry.served.model.split("/")[0] for entry in config.model_list if entry.served.provider is None}
    assert {"openai", "anthropic", "azure", "bedrock", "vertex", "openrouter", "groq", "mistral"} <= providers
    assert {"smart", "fast"} <= set(config.model_aliases)


def test_a_section_without_effect_says_so_where_it_stands() -> None:
    page = reference()
    for name, missing in PENDING.items():
        _, section = re.split(rf"^## `{re.escape(name)}(?:\[\])?`$", page, flags=re.MULTILINE)
        assert missing in section.partition("\n## ")[0]
