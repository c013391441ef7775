"""Mails to a new user, over two weeks: `worker dev examples.onboarding.app:functions`.

A wait costs nothing, however long it is: the run is parked, and needs neither a worker nor a cron job.
"""

from __future__ import annotations

from dataclasses import dataclass

from onward import App, CancelOn, Context, EventType, step

from examples import outside


@dataclass
class User:
    id: str
    mail: str


@dataclass
class Project:
    owner: str
    name: str


SignedUp = EventType("onboarding/user.signed_up", User)
ProjectMade = EventType("onboarding/project.made", Project)
UserLeft = EventType("onboarding/user.left", User)
functions = App("onboarding")


@step
async def mail(user: User, template: str) -> None:
    outside.do(f"mail to {user.mail}: {template}")


@functions.on(SignedUp, cancel_on=CancelOn(UserLeft, match="id"))
async def onboard(ctx: Context[User]) -> str:
    user = ctx.data
    await mail(user, "welcome")
    for template in ("your first project", "three examples"):
        made = await ctx.wait_for_event(ProjectMade, where="async.data.owner == event.data.id", timeout="3d")
        if made is not None:
            await mail(user, f"well done: {made.data.name}")
            break
        await mail(user, template)
    else:
        return "silent"
    await ctx.sleep("7d")
    await mail(user, "what next?")
    return "active"
