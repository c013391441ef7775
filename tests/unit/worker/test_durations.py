from datetime import timedelta

import pytest
from onward.durations import duration_ms


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (timedelta(minutes=2), 120_000),
        (3, 3_000),
        (0.25, 250),
        ("10m", 600_000),
        ("4m45s", 285_000),
        ("14m 30s", 870_000),
        ("24h", 86_400_000),
        ("3d", 259_200_000),
        ("1w", 604_800_000),
        ("1.5h", 5_400_000),
        ("250ms", 250),
        ("0", 0),
    ],
)
def test_durations_are_read_as_people_write_them(value: timedelta | float | str, ms: int) -> None:
    assert duration_ms(value) == ms


@pytest.mark.parametrize(
    "value", ["", "10", "ten minutes", "10 parsecs", "-5s", "5m-3s", -1, float("nan"), float("inf"), None]
)
def test_what_is_no_duration_is_refused(value: str | float | None) -> None:
    with pytest.raises(ValueError, match=r"duration|NaN"):
        duration_ms(value)  # type: ignore[arg-type]  # users without a type checker
