from faults.checks import differences


def test_values_that_are_equal_through_json_do_not_differ():
    assert differences({"a": [1, 2.5]}, {"a": (1, 2.5)}, "") == []


def test_names_each_value_that_differs_in_the_last_bit():
    found = differences({"a": {"x": 0.1, "y": 1}}, {"a": {"x": 0.1 + 1e-17 + 1e-16, "y": 1}}, "")
    assert [line.split(":")[0] for line in found] == ["/a/x"]


def test_names_what_is_missing_and_what_is_not_wanted():
    found = differences({"a": 1, "b": 2}, {"b": 2, "c": 3}, "/runs")
    assert found == ["/runs/a: missing", "/runs/c: not wanted: 3"]
