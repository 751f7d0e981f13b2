from pllm.core.config import ConfigError, ConfigProblem
from pllm.core.config.problem import dotted


def test_a_path_is_written_as_people_write_it() -> None:
    assert dotted(("model_list", 2, "params", "api_key", 0)) == "model_list[2].params.api_key[0]"
    assert dotted(()) == ""


def test_a_problem_without_a_text_behind_it_names_only_the_file() -> None:
    assert str(ConfigProblem("c.yaml", 0, 0, (), "gone", severity="warning")) == "c.yaml: warning: gone"


def test_an_error_says_all_its_problems() -> None:
    error = ConfigError([ConfigProblem("c", 1, 2, (), "one", "do this"), ConfigProblem("c", 3, 4, (), "two")])
    assert str(error) == "c:1:2: error: one; do this\nc:3:4: error: two"
