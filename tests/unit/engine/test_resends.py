"""Workers that say everything twice, as after a lost connection: nothing counts twice, and nobody is stranded."""

import asyncio

from onward_engine.model import Status
from onward_protocol.messages import (
    Ack,
    Assign,
    Checkpoint,
    Draft,
    Due,
    Fence,
    Parked,
    RunCompleted,
    Seen,
    Sent,
    Sleep,
    StepDone,
    WaitOpened,
    Wake,
)

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, Peer, engine, send


class Twice(Peer):
    """Sends each checkpoint two times in a row."""

    def send(self, frame: object) -> None:
        for _ in range(2 if isinstance(frame, Checkpoint) else 1):
            super().send(frame)


def test_a_run_whose_frames_all_come_twice_goes_on_and_has_everything_once() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Twice(running, slots=1).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report(run, epoch, 1, StepDone("a", NIL), Sent("note", (Draft("order/noted", b"{}"),)))
            worker.report(run, epoch, 2, WaitOpened("nap", Sleep(1_000)), outcome=Parked())
            wake = await worker.next(Wake, run)
            assert [type(entry) for entry in wake.entries] == [Due]
            worker.report(run, epoch, 3, Seen(1), StepDone("b", NIL), outcome=RunCompleted(NIL))
            while (await worker.next(Ack, run)).seq < 3:
                pass
            await asyncio.sleep(1)
            stored = await running.store.run(run)
            assert stored is not None
            assert (stored.status, stored.epoch, stored.seq, stored.steps) == (Status.COMPLETED, epoch, 3, 2)
            kinds = [(view.key, view.kind) for view in (await running.store.steps(run)).steps]
            assert kinds == [("a", "step"), ("note", "send"), ("nap", "sleep"), ("b", "step")]
            assert not [frame for frame in worker.frames if isinstance(frame, Assign | Wake | Fence)]
            await worker.complete(await send(running))  # its one slot is free again

    simulate(main)
