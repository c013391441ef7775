import pytest
from onward.values.paths import canonical_json, path_problem, value_at

DATA = {"id": "o1", "customer": {"id": 7, "tags": ["a", {"deep": True}]}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "o1"),
        ("customer.id", 7),
        ("customer.tags.1.deep", True),
        ("customer.tags.2", None),
        ("nobody.id", None),
        ("id.x", None),
    ],
)
def test_a_path_finds_a_value_or_nothing(path: str, value: object) -> None:
    assert value_at(DATA, path) == value


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a b", "a[0]", "a == b", "é", "a" * 257])
def test_an_expression_is_no_path(path: str) -> None:
    assert path_problem(path)


def test_equal_values_have_one_text() -> None:
    assert (
        canonical_json({"b": 1.0, "a": [2.0, 2.5]}) == canonical_json({"a": [2, 2.5], "b": 1}) == b'{"a":[2,2.5],"b":1}'
    )
