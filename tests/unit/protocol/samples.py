"""One fixed example of everything that is sent, for the golden vectors and the fuzz corpus."""

from __future__ import annotations

from onward_protocol.codec import encode_entries
from onward_protocol.engine_session import wire_limits
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Arrived,
    Assign,
    AttemptFailed,
    Beat,
    BeatAck,
    Bye,
    CallbackWait,
    Cancel,
    CancelRequested,
    Checkpoint,
    ConcurrencyLimit,
    Draft,
    Drain,
    Due,
    EngineEntry,
    EngineFrame,
    Event,
    EventWait,
    Failed,
    Failure,
    Fence,
    FunctionManifest,
    GoAway,
    HandedBack,
    Held,
    Hello,
    Invoke,
    Log,
    Match,
    Outcome,
    Parked,
    Part,
    Published,
    Refuse,
    Return,
    Returned,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRef,
    Seen,
    Segment,
    Sent,
    SignalWait,
    Sleep,
    Started,
    StepDone,
    StepFailed,
    Stream,
    Tagged,
    TimedOut,
    TimerFired,
    Trigger,
    WaitClosed,
    WaitOpened,
    Wake,
    Welcome,
    WorkerEntry,
    WorkerFrame,
    WorkerLosses,
)

RUN = "run_0198c0de000070008000000000000001"
INSTANCE = "wrk_0198c0de000070008000000000000002"
AT_MS = 1_755_000_000_000
FAILURE = Failure("ValueError", "no such order", b"\x81\xa4code\x07", "Traceback …")
EVENT = Event("evt_0198c0de000070008000000000000003", "shop/order", b'{"id":7}', AT_MS, 41, "key-7", {"src": "web"})
HELD = Held(RUN, 3, 9, 8, 2, "parked")

WORKER_ENTRIES: tuple[WorkerEntry, ...] = (
    StepDone("charge", b"\xcd\x01\x00", "shop.charge", 0xDEADBEEF, 0x12345678, 2, 15, AT_MS),
    StepFailed("ship", FAILURE, "shop.ship", 1, 2, 5, AT_MS),
    AttemptFailed("ship", 1, FAILURE, 1_000),
    TimerFired("timer@0#1", AT_MS),
    Seen(4),
    WaitOpened("nap", Sleep(60_000)),
    WaitOpened("until", Sleep(0, AT_MS + 60_000)),
    WaitOpened("paid", EventWait("shop/paid", (Match("order.id", b"7"),), 86_400_000, 41, "")),
    WaitOpened("any", EventWait("shop/any")),
    WaitOpened("go", SignalWait("approved", 1_000)),
    WaitOpened("hook", CallbackWait("tok_1")),
    WaitOpened("child", Invoke("shop/refund", b"\x07", 5_000)),
    WaitClosed("paid"),
    Sent("tell", (Draft("shop/told", b"{}", AT_MS, "k", {"a": "b"}, "evt_own"), Draft("shop/told", b"1"))),
    Started("spawn", "shop/audit", b"\xc0"),
    Published("say", "progress", b"50"),
    Tagged({"customer": "42"}),
)

ENGINE_ENTRIES: tuple[EngineEntry, ...] = (
    Due(1, "nap", AT_MS),
    TimedOut(2, "paid", AT_MS),
    Arrived(3, "paid", EVENT, AT_MS),
    Returned(4, "child", b"\x93\x01\x02\x03", AT_MS),
    Failed(5, "child", FAILURE, AT_MS),
    CancelRequested(6, 30_000, "by hand", AT_MS),
    WorkerLosses(7, 5, AT_MS),
)

OUTCOMES: tuple[Outcome, ...] = (
    RunCompleted(b"\xc3"),
    RunFailed(FAILURE),
    RunCancelled("by hand"),
    Parked(),
    HandedBack("draining"),
)

FUNCTION = FunctionManifest(
    "shop/order",
    (Trigger("shop/order"), Trigger("shop/legacy/*")),
    (ConcurrencyLimit(5, "customer"),),
    "shop/oops",
    True,
)

WORKER_FRAMES: tuple[WorkerFrame, ...] = (
    Hello((1, 1), INSTANCE),
    Hello(
        (1, 1),
        INSTANCE,
        "guard",
        "ses_1",
        4,
        "0.1.0",
        "3.12.1",
        100,
        {"pod": "shop-0"},
        (AppManifest("shop", "2025-08-12", (FUNCTION,)),),
        (HELD,),
    ),
    Checkpoint(RUN, 3, 9, encode_entries(WORKER_ENTRIES)),
    *(Checkpoint(RUN, 3, 10, b"\x90", outcome) for outcome in OUTCOMES),
    Beat(1, 1, 100),
    Beat(2, 300, 70_000, 1, 2**64 - 1, 3, 48 << 20, {"steps": 12}, (HELD,)),
    Return(RUN, 3, "evicted"),
    Stream(RUN, 0, 17, "tokens", b"\xa5Hello"),
    Log(RUN, "info", AT_MS, "charged", b"\x80"),
    Drain("shutdown"),
    Bye((RunRef(RUN, 3),), "SIGTERM", -9),
    Part(0, 0, False, b"\x99\x02"),
)

ENGINE_FRAMES: tuple[EngineFrame, ...] = (
    Welcome(1, "ses_1", 4, 5_000, 15_000, 12_000, 1_000, wire_limits(Limits()), "eng_1", AT_MS),
    Refuse("version", "upgrade the engine", 500),
    Assign(RUN, 3, "shop/order", 0, 41, (EVENT,)),
    Assign(
        RUN,
        4,
        "shop/oops",
        1,
        42,
        input=b"\x07",
        segments=(Segment(3, 1, encode_entries(WORKER_ENTRIES[:2])),),
        entries=ENGINE_ENTRIES,
        cause=FAILURE,
        started_at_ms=AT_MS,
    ),
    Ack(RUN, 3, 9),
    Ack(RUN, 3, 7, True),
    BeatAck(2, True),
    Wake(RUN, 3, ENGINE_ENTRIES[:1], True),
    Cancel(RUN, 3, 6, 30_000, "by hand"),
    Fence(RUN, 3, "taken over"),
    GoAway(0),
    Part(1, 0, True, b"\x90"),
)
