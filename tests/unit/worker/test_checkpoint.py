"""What a checkpoint setting says, how it is written, and whose setting counts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from onward import App, Checkpoint, ConfigError, Context, Worker
from onward.checkpoint import checkpoint_of, worker_checkpoint

OWNER = "here"


# -- presets


@pytest.mark.parametrize(
    ("preset", "unacked_max", "steps", "interval_ms"),
    [
        (Checkpoint.SAFE, 1, 1, 0),
        (Checkpoint.PIPELINED, 16, 1, 0),
        (Checkpoint.BLENDED, 3, 3, 3_000),
        (Checkpoint.PERFORMANT, 1_000, 1_000, 0),
        (Checkpoint.OFF, 1, 1, 0),
    ],
    ids=["safe", "pipelined", "blended", "performant", "off"],
)
def test_each_preset_bounds_what_is_unacknowledged(
    preset: Checkpoint, unacked_max: int, steps: int, interval_ms: int
) -> None:
    assert (preset.unacked_max, preset.buffered_steps, preset.max_interval_ms) == (unacked_max, steps, interval_ms)
    assert preset.max_runtime_ms == 0


def test_without_arguments_it_is_safe_and_nothing_but_the_preset_is_off() -> None:
    assert Checkpoint() == Checkpoint.SAFE != Checkpoint.OFF
    assert [preset.is_off for preset in (Checkpoint.SAFE, Checkpoint.OFF)] == [False, True]
    assert repr(Checkpoint.OFF) == "Checkpoint.OFF"


def test_the_larger_of_the_two_numbers_bounds_what_is_unacknowledged() -> None:
    assert Checkpoint(3, window=16).unacked_max == Checkpoint(16, window=3).unacked_max == 16


@pytest.mark.parametrize("nothing", [None, 0, "0", timedelta()])
def test_no_duration_is_no_timer_and_no_limit(nothing: Any) -> None:
    setting = Checkpoint(max_interval=nothing, max_runtime=nothing)
    assert (setting.max_interval_ms, setting.max_runtime_ms) == (0, 0)


@pytest.mark.parametrize("duration", [timedelta(minutes=4, seconds=45), 285, 285.0, "285s", "4m45s"])
def test_durations_are_written_in_any_way(duration: Any) -> None:
    setting = Checkpoint(max_interval=duration, max_runtime=duration)
    assert setting.max_interval_ms == setting.max_runtime_ms == 285_000


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Checkpoint(0), "buffered_steps"),
        (lambda: Checkpoint(1_001), "buffered_steps"),
        (lambda: Checkpoint("3"), "buffered_steps"),  # type: ignore[arg-type]  # what untyped code would do
        (lambda: Checkpoint(True), "buffered_steps"),
        (lambda: Checkpoint(window=-1), "window"),
        (lambda: Checkpoint(window=1_001), "window"),
        (lambda: Checkpoint(window=2.5), "window"),  # type: ignore[arg-type]  # as above
        (lambda: Checkpoint(max_interval="soon"), "max_interval"),
        (lambda: Checkpoint(max_interval=-1), "max_interval"),
        (lambda: Checkpoint(max_interval="25h"), "max_interval"),
        (lambda: Checkpoint(max_runtime="367d"), "max_runtime"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_written(make: Callable[[], Any], option: str) -> None:
    with pytest.raises(ConfigError, match=f"^Checkpoint, option '{option}"):
        make()


# -- text


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("safe", Checkpoint.SAFE),
        ("PIPELINED", Checkpoint.PIPELINED),
        ("Blended", Checkpoint.BLENDED),
        ("performant", Checkpoint.PERFORMANT),
        ("off", Checkpoint.OFF),
        ("buffered_steps=3,max_interval=3s", Checkpoint.BLENDED),
        ("buffered_steps=3, max_interval=3s, max_runtime=5m", Checkpoint(3, "3s", "5m")),
        ("pipelined,max_runtime=4m45s", Checkpoint(max_runtime="4m45s", window=16)),
        ("blended, max_interval=0", Checkpoint(3, 0)),
    ],
)
def test_a_text_is_a_preset_or_values_or_both(text: str, setting: Checkpoint) -> None:
    found = checkpoint_of(OWNER, text)
    assert found is not None
    assert (found.unacked_max, found.buffered_steps, found.is_off) == (
        setting.unacked_max,
        setting.buffered_steps,
        setting.is_off,
    )
    assert (found.max_interval_ms, found.max_runtime_ms) == (setting.max_interval_ms, setting.max_runtime_ms)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nonsense", r"'nonsense' is none of the presets safe, pipelined, blended, performant, off"),
        ("", r"'' is none of the presets"),
        ("blended,", r"'' is none of the presets"),
        ("steps=3", r"there is no 'steps' beside buffered_steps, max_interval, max_runtime, window"),
        ("window=many", r"window is a whole number, not 'many'"),
        ("window=-1", r"window is a whole number, not '-1'"),
        ("window=9999", r"Checkpoint, option 'window': 9999 is not a number from 0 to 1000"),
        ("max_interval=soon", r"Checkpoint, option 'max_interval': 'soon' is not a duration"),
        ("off,max_runtime=5m", r"'off' takes no further values"),
        (3, r"3 is not a Checkpoint"),
    ],
)
def test_a_wrong_setting_names_its_owner_and_what_is_wrong(value: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{OWNER}: {problem}"):
        checkpoint_of(OWNER, value)


@pytest.mark.parametrize(("switch", "setting"), [(True, Checkpoint.SAFE), (False, Checkpoint.OFF)])
def test_true_is_safe_and_false_is_off(switch: bool, setting: Checkpoint) -> None:
    app = App("shop", checkpoint=switch)
    assert app.checkpoint == setting
    assert worker_checkpoint(switch, {}) == setting


# -- whose setting counts


def functions_of(app: App) -> tuple[Any, Any]:
    @app.function(int)
    async def open_to_others(ctx: Context[int]) -> None: ...

    @app.function(int, checkpoint=Checkpoint.PERFORMANT)
    async def decided(ctx: Context[int]) -> None: ...

    return open_to_others, decided


def test_without_a_worker_a_function_has_its_own_setting_or_that_of_its_app() -> None:
    open_to_others, decided = functions_of(App("shop", checkpoint=Checkpoint.BLENDED))
    assert (open_to_others.checkpoint, decided.checkpoint) == (Checkpoint.BLENDED, Checkpoint.PERFORMANT)


def test_a_worker_replaces_the_setting_of_the_app_and_not_that_of_a_function() -> None:
    open_to_others, decided = functions_of(App("shop", checkpoint=Checkpoint.BLENDED))
    assert open_to_others.checkpoint_in(Checkpoint.OFF) == Checkpoint.OFF
    assert decided.checkpoint_in(Checkpoint.OFF) == Checkpoint.PERFORMANT


def test_a_failure_handler_follows_its_function() -> None:
    app = App("shop", checkpoint=Checkpoint.BLENDED)

    async def handle(ctx: Context[int], error: BaseException) -> None: ...

    @app.function(int, checkpoint=Checkpoint.PIPELINED, on_failure=handle)
    async def decided(ctx: Context[int]) -> None: ...

    @app.function(int, on_failure=handle)
    async def open_to_others(ctx: Context[int]) -> None: ...

    handlers = [function.failure_handler for function in (decided, open_to_others)]
    assert [handler and handler.checkpoint_in(Checkpoint.OFF) for handler in handlers] == [
        Checkpoint.PIPELINED,
        Checkpoint.OFF,
    ]


def test_the_variable_counts_for_a_worker_without_an_option_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("shop")
    functions_of(app)
    assert Worker(app).checkpoint is None
    monkeypatch.setenv("ONWARD_CHECKPOINT", "blended")
    assert Worker(app).checkpoint == Checkpoint.BLENDED
    assert Worker(app, checkpoint="off").checkpoint == Checkpoint.OFF
    monkeypatch.setenv("ONWARD_CHECKPOINT", "")
    assert Worker(app).checkpoint is None


@pytest.mark.parametrize(
    ("make", "owner"),
    [
        (lambda: App("shop", checkpoint="fast"), "App 'shop', option 'checkpoint': 'fast'"),
        (
            lambda: App("shop").function(int, checkpoint="fast")(_nothing),
            "function 'shop/_nothing', option 'checkpoint'",
        ),
        (lambda: worker_checkpoint("fast", {}), "Worker, option 'checkpoint': 'fast'"),
        (lambda: worker_checkpoint(None, {"ONWARD_CHECKPOINT": "fast"}), "ONWARD_CHECKPOINT: 'fast'"),
    ],
)
def test_the_message_names_the_place_that_has_the_wrong_setting(make: Callable[[], Any], owner: str) -> None:
    with pytest.raises(ConfigError, match=f"^{owner}"):
        make()


async def _nothing(ctx: Context[int]) -> None: ...
