import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config.source import Mark, SourceError, read
from pllm.core.config.source_yaml import _PurePythonLoader


def data_of(text: str) -> Any:
    return read(text, "c.yaml").data


def refusal(text: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(text, "c.yaml")
    return str(caught.value)


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read(text, "c.yaml").problems]


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("0", 0),
        ("100_000", 100000),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e-06", 1e-06),
        ("2.5e3", 2500.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("010", "010"),
        ("12:30", "12:30"),
        ("2024-10-21", "2024-10-21"),
        ("2024-02-15-preview", "2024-02-15-preview"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("grün/模型-🚀", "grün/模型-🚀"),
        ("9" * 50, "9" * 50),
    ],
)
def test_scalars_follow_yaml_1_2(scalar: str, value: object) -> None:
    found = data_of(f"a: {scalar}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = read("a:\n  - b: 1\n    c: [x,  y]\n", "c.yaml")
    assert document.values["a", 0, "b"] == Mark(2, 8)
    assert document.keys["a", 0, "c"] == Mark(3, 5)
    assert document.values["a", 0, "c", 1] == Mark(3, 13)
    assert document.mark(("a", 0, "b", "deeper")) == Mark(2, 8)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert data_of("1: a\ntrue: b\n2024-01-01: c\n") == {"1": "a", "true": "b", "2024-01-01": "c"}


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    document = read("\ufeffa: 1\r\nb:\r\n  c: x\r\n", "c.yaml")
    assert document.data == {"a": 1, "b": {"c": "x"}}
    assert document.keys["b", "c"] == Mark(3, 3)


def test_anchors_and_merge_keys_work_and_what_is_written_out_wins() -> None:
    anchors = "base: &base {a: 1, b: {c: 2}}\nmore: &more {<<: *base, a: 3, d: 4}\n"
    found = data_of(anchors + "use:\n  <<: [*more, *base]\n  d: 5\nlist: [*base]\n")
    assert found["use"] == {"a": 3, "b": {"c": 2}, "d": 5}
    assert found["list"] == [{"a": 1, "b": {"c": 2}}]


def test_merge_keys_agree_with_pyyaml() -> None:
    text = "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y], c: 3}\nw: {b: 9, <<: *y}\n"
    assert data_of(text) == yaml.safe_load(text)


def test_a_key_given_twice_is_a_problem_with_both_lines_at_every_depth() -> None:
    assert problems("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n") == [
        "c.yaml:4:3: error: key 'c' stands here again; it was first given on line 3; keep one of them",
        "c.yaml:5:1: error: key 'a' stands here again; it was first given on line 1; keep one of them",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "c.yaml:1:1: error: the file is empty; it needs at least a model_list"),
        (" \n\t\n", "c.yaml:1:1: error: the file is empty"),
        ("# only a comment\n", "the file holds only comments"),
        ("a:\n\tb: 1\n", "c.yaml:2:1: error: a tab indents this line; YAML takes spaces only"),
        ("a: @x\n", "c.yaml:1:4: error: not YAML: found character that cannot start any token; a value that begins with"),
        ("a: 'open\n", "not YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2:1: error: a second document begins here ('---'); keep one document in a file"),
        ("a: *nowhere\n", "not YAML: found undefined alias"),
        ("a: {b: 1\nc: 2\n", "c.yaml:2:2: error: not YAML"),
        ("a: x\x00y\n", "c.yaml:1:5: error: character U+0000 is not allowed"),
        ("a: \ud800\n", "c.yaml:1:4: error: character U+D800 is not allowed"),
        ('a: "\\ud800"\n', "c.yaml:1:7: error: not YAML"),
        ("a: " + "[" * 200, "c.yaml:1:103: error: nested deeper than 100"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object:os.system x\n", "the tag !!python/object:os.system is not allowed here; leave the tag out"),
        ("a: !secret x\n", "the tag !secret is not allowed here"),
        ("a: !!set {x, y}\n", "the tag !!set is not allowed here"),
        ("a: !!float 1\n", "the tag !!float is not allowed here"),
        ("a: &a [*a]\n", "this anchor contains itself"),
        ("a: &a {b: {<<: *a}}\n", "'<<' takes an anchor of a mapping"),
        ("a: {<<: 5}\n", "'<<' takes an anchor of a mapping"),
        ("? [a, b]\n: 1\n", "a key is text, not a list or a mapping"),
    ],
)
def test_what_yaml_allows_and_a_configuration_does_not_is_a_problem(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text))


def test_a_mapping_merged_from_one_that_merges_itself_is_refused() -> None:
    assert "'<<' takes an anchor of a mapping" in refusal("a: &a {<<: *a, b: 1}\nc: {<<: *a}\n")


def test_anchors_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 500000 values, anchors counted each time they are used" in refusal("\n".join(lines))


def test_absurd_nesting_does_not_take_the_process_with_it() -> None:
    code = """
from pllm.core.config.source import read
try:
    read("a: " + "[" * 200_000, "c.yaml")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nested deeper than 100" in done.stdout


def test_a_file_beyond_all_measure_is_refused_before_it_is_parsed() -> None:
    assert "more than 8000000" in refusal("a: " + "x" * 8_000_001)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé-_ ", min_size=1, max_size=5), inner, max_size=3),
    max_leaves=12,
)


class _Quoting(yaml.SafeDumper):
    """Quotes every text: PyYAML leaves plain what YAML 1.2 takes for a number, such as 0E0 or 0o7."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@settings(deadline=None, max_examples=100)
@given(_VALUES)
def test_what_pyyaml_writes_is_read_back_the_same(value: Any) -> None:
    text = yaml.dump({"root": value}, Dumper=_Quoting, allow_unicode=True, sort_keys=False)
    assert data_of(text) == {"root": value}


@settings(deadline=None, max_examples=50)
@given(_VALUES)
def test_the_pure_python_loader_sees_the_same_nodes_as_libyaml(value: Any) -> None:
    text = yaml.safe_dump({"root": value}, allow_unicode=True)
    fast = yaml.CSafeLoader(text)
    fast.yaml_implicit_resolvers = _PurePythonLoader.yaml_implicit_resolvers
    assert yaml.serialize(_PurePythonLoader(text).get_single_node()) == yaml.serialize(fast.get_single_node())
