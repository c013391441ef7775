"""A trip of three bookings, all or none: `worker dev examples.saga.app:functions`.

What was booked is taken back in reverse, when a booking fails, when nobody pays, and when the run is cancelled. It is
ordinary code in an `except`; each booking and each step back is kept, so a crash in the middle repeats neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from onward import App, Context, EventType, NonRetryable, Retry, RunCancelled, StepFailed, step

from examples import outside


@dataclass
class Trip:
    id: str
    parts: list[str]


@dataclass
class Payment:
    trip: str
    amount: int


TripWanted = EventType("trips/trip.wanted", Trip)
TripPaid = EventType("trips/trip.paid", Payment)
functions = App("trips", retry=Retry(attempts=3))


@step
async def book(trip: str, part: str) -> str:
    if "sold out" in part:
        raise NonRetryable(f"{part} for {trip}")
    outside.do(f"book {part} for {trip}")
    return f"{trip}/{part}"


@step(retry=Retry(attempts=20))  # what was booked has to be taken back, however long that takes
async def take_back(booking: str) -> None:
    outside.do(f"take back {booking}")


@functions.on(TripWanted)
async def plan_trip(ctx: Context[Trip]) -> list[str]:
    trip, bookings = ctx.data, list[str]()
    try:
        for part in trip.parts:
            bookings.append(await book(trip.id, part))
        paid = await ctx.wait_for_event(TripPaid, where="async.data.trip == event.data.id", timeout="1d")
        if paid is None:
            raise NonRetryable("not paid")
    except (StepFailed, NonRetryable, RunCancelled):
        for booking in reversed(bookings):
            await take_back(booking)
        raise
    return bookings
