"""Nothing late can be taken for something new: whatever concerns a run says in which epoch it was meant."""

from typing import get_args

import msgspec
from onward_protocol.messages import EngineFrame, Held, Log, RunRef, Stream, WorkerFrame

WITHOUT_EFFECT = {Log, Stream}
"""They are shown and forgotten; nothing is kept of them."""


def test_every_frame_that_concerns_a_run_has_to_name_its_epoch() -> None:
    kinds = {*get_args(WorkerFrame), *get_args(EngineFrame), Held, RunRef}
    of_a_run = {kind for kind in kinds if "run" in kind.__struct_fields__} - WITHOUT_EFFECT
    epochs = {
        kind: [field.required for field in msgspec.structs.fields(kind) if field.name == "epoch"] for kind in of_a_run
    }
    assert len(of_a_run) > 6
    assert {kind for kind, required in epochs.items() if required != [True]} == set()
