import pytest

from rnnlane.config.yaml_source import parse_value, parse_yaml
from rnnlane.errors import ConfigError


def test_values_come_with_the_line_of_each_key():
    value, lines = parse_yaml("a: 1\nb:\n  c: [x, {d: 2}]\n", origin="x.yaml")
    assert value == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert lines == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", "1", "d"): 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("true", True),
        ("", None),
        ("010", 10),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
    ],
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


def test_aliases_that_multiply_are_refused():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    with pytest.raises(ConfigError, match="at most 20,000 values"):
        parse_yaml("\n".join(levels), origin="x.yaml")


@pytest.mark.parametrize("text", ["|", ">", "#3", "a #b", "@you", "&", "*.csv", "\t", "%", "!x"])
def test_all_of_an_override_counts(text):
    assert parse_value(text, origin="--set") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" ", None),
        ("'#'", "#"),
        ('"\\t"', "\t"),
        ("[1, 2]", [1, 2]),
        ("a: b", {"a": "b"}),
    ],
)
def test_an_override_is_read_as_yaml(text, value):
    assert parse_value(text, origin="--set") == value


@pytest.mark.parametrize("text", ["[1] # two", "'a' #b", "{a: 1} #"])
def test_what_follows_a_closed_value_is_refused(text):
    with pytest.raises(ConfigError, match="must end where it closes"):
        parse_value(text, origin="--set")
