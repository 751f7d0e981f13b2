"""What the data plane reads of versions, and what it makes of damaged ones."""

import zlib
from dataclasses import replace

import pytest
from tests.support.versions import history_of

from pllm.core.config import ConfigError
from pllm.state.config_version import POINTER, Pointer, body_key, decode_body, read_body, read_pointer, read_text
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError, Update

TEXT = "model_list: [{model_name: m, params: {model: gpt-4}}]\n"


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await history_of(store).publish(TEXT, expected=0, by="x")
    return store


async def changed(store: MemoryStore, **attributes: bytes) -> Item | None:
    await store.update(Update(*body_key(1), set=attributes))
    return await read_body(store, 1)


async def test_an_empty_table_points_to_the_deployed_configuration() -> None:
    assert await read_pointer(MemoryStore()) == Pointer()
    assert await read_text(MemoryStore(), 1) is None


async def test_a_body_is_read_as_it_was_published(store: MemoryStore) -> None:
    assert (await read_pointer(store)).version == 1
    assert await read_text(store, 1) == TEXT
    assert decode_body(await read_body(store, 1), 1).config.model_list[0].model_name == "m"


async def test_what_another_release_compiled_is_loaded_from_its_text(store: MemoryStore) -> None:
    other = b'{"pllm_config":99,"etag":"","source":"","warnings":[],"config":{}}'
    found = decode_body(await changed(store, body=zlib.compress(other)), 1)
    assert found.config.model_list[0].model_name == "m"
    unknown = b'{"pllm_config":1,"etag":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","config":{}}'
    assert decode_body(await changed(store, body=zlib.compress(unknown)), 1).etag == found.etag


async def test_a_body_beyond_repair_is_refused_by_its_version(store: MemoryStore) -> None:
    with pytest.raises(ConfigError, match="configuration version 1: error: its text in the table is damaged"):
        decode_body(await changed(store, body=b"?", text=b"?"), 1)
    with pytest.raises(ConfigError, match="version 1"):
        decode_body({"PK": "C", "SK": "B#000000001"}, 1)
    with pytest.raises(ConfigError, match="configuration version 2: error: the table has no such version"):
        decode_body(await read_body(store, 2), 2)


async def test_a_damaged_pointer_is_trouble_with_the_table_and_not_version_0(store: MemoryStore) -> None:
    await store.update(Update(*POINTER, set={"version": "7"}))
    with pytest.raises(StateError, match="damaged"):
        await read_pointer(store)


def test_a_pointer_is_a_value() -> None:
    assert replace(Pointer(), version=3) == Pointer(3, "", 0)
