import pytest

from rnnlane.config.yaml_source import parse_yaml
from rnnlane.errors import ConfigError


def test_values_come_with_the_line_of_each_key():
    value, lines = parse_yaml("a: 1\nb:\n  c: [x, {d: 2}]\n", origin="x.yaml")
    assert value == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert lines == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", "1", "d"): 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [("off", "off"), ("yes", "yes"), ("1e-3", 1e-3), (".5", 0.5), ("true", True), ("", None)],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    parsed, _ = parse_yaml(text, origin="x.yaml")
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_repeated_key_is_refused_with_both_lines():
    with pytest.raises(ConfigError, match="also on line 2") as refused:
        parse_yaml("a:\n  b: 1\n  b: 2\n", origin="x.yaml")
    assert refused.value.where == "x.yaml:3 a.b"


@pytest.mark.parametrize("text", ["a: [1", "a: !!python/object:os.system {}", "a: *b"])
def test_what_is_not_safe_yaml_is_refused_with_its_line(text):
    with pytest.raises(ConfigError, match="not valid YAML") as refused:
        parse_yaml(text, origin="x.yaml")
    assert refused.value.where.startswith("x.yaml:")
