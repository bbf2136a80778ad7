"""What can be asked of and done to any message, on every screen that shows one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tracing import ids
from tui.acts import looks, queue, restore
from tui.acts.restore import Wanted
from tui.lang import _
from tui.screens import restoring
from tui.screens.dialogs import Confirm, Field, Form, Page
from tui.screens.frame import Frame
from tui.source import Trouble
from tui.work import start
from tui.world import World


@dataclass(frozen=True, slots=True)
class Selected:
    """The message under the cursor; ``st`` is its stored copy, 0 where none is meant."""

    m: int
    st: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """A message whose text somebody wants to read: whose it is, and where it lies."""

    whose: str
    mailbox: str
    subject: str
    m: int
    st: int = 0


class OnMessage(Frame):
    """A screen with messages. Subclasses say which one is meant."""

    def __init__(self, world: World, tab: str = "") -> None:
        super().__init__(world, tab)
        self.reasons: dict[str, str] = {}
        """Why someone reads mail, by whose it is: asked once."""

    def read_text(self, look: Look, read: Callable[[], Awaitable[Sequence[str]]]) -> None:
        """Show a message as text to who says why; that is written down first."""
        if look.whose in self.reasons:
            start(self, "message", self.reading, "read", partial(self._show_text, look, read))
            return

        def told(values: dict[str, str] | None) -> None:
            if values is not None:
                self.reasons[look.whose] = values["reason"].strip()
                self.read_text(look, read)

        title = _("Reading mail of {} is written down").format(look.whose)
        asked = [Field("reason", _("Why do you read it?"))]
        self.app.push_screen(Form(title, asked, check=_reasoned), told)

    async def _show_text(self, look: Look, read: Callable[[], Awaitable[Sequence[str]]]) -> None:
        reason = self.reasons[look.whose]
        await self.acting(
            lambda loaded: looks.reads(
                loaded, look.whose, look.mailbox, reason, m=look.m, st=look.st
            )
        )
        lines = await read()
        self.app.push_screen(Page(look.subject or _("(no subject)"), lines))

    def selected(self) -> Selected | None:
        """The message under the cursor; None where there is none."""
        raise NotImplementedError

    def _with(self, about: str, do: Callable[[Selected], Awaitable[None]]) -> None:
        """Begin something with the message under the cursor."""
        if (one := self.selected()) is not None:

            async def run() -> None:
                await do(one)

            start(self, "message", self.reading, about, run)

    def action_why(self) -> None:
        """The verdict, its evidence and what to do."""
        self._with("why", self._why)

    async def _why(self, one: Selected) -> None:
        lines = await self.world.reading.why(one.m)
        self.app.push_screen(Page(_("Why"), lines))

    def action_trace(self) -> None:
        """All that happened to it."""
        from tui.screens.timeline import TimelineScreen  # noqa: PLC0415 - it is one of these

        if (one := self.selected()) is not None and not isinstance(self, TimelineScreen):
            self.app.push_screen(TimelineScreen(self.world, one.m))

    def action_copy(self) -> None:
        """A sheet for the other side."""
        self._with("copy", self._copy)

    async def _copy(self, one: Selected) -> None:
        lines = await self.world.reading.proof(one.m)
        self.app.copy_to_clipboard("\n".join(lines))
        self.flash(_("copied {} lines for the other side's postmaster").format(len(lines)))

    def action_export(self) -> None:
        """Write its timeline into a file."""
        self._with("export", self._export)

    async def _export(self, one: Selected) -> None:
        name = f"{ids.text(one.m)}.json"
        asked = [Field("path", _("File"), str(Path.cwd() / name))]

        def chosen(values: dict[str, str] | None) -> None:
            if values is not None:
                start(self, "message", self.reading, "export", partial(write, values["path"]))

        async def write(path: str) -> None:
            self.flash(await self.world.reading.export(one.m, Path(path)))

        self.app.push_screen(Form(_("Write all that happened to this message"), asked), chosen)

    def action_retry(self) -> None:
        """Try what waits of it."""
        self._with("retry", self._retry)

    async def _retry(self, one: Selected) -> None:
        who = await self.acting(lambda loaded: queue.of_message(loaded, one.m))
        self.change("retry", who, _("Try {} at once?"))

    def action_restore(self) -> None:
        """Put it back to its place."""
        self._with("restore", self._restore)

    async def _restore(self, one: Selected) -> None:
        await restoring.ask(self, await self.wanted(one), self.changed)

    async def wanted(self, one: Selected) -> Sequence[Wanted]:
        """What putting a message back means: in each box here that it was delivered to."""
        found = await self.world.reading.recipients(one.m)
        boxes = dict.fromkeys(each.addr for each in found if each.st)
        if not boxes:
            raise Trouble(_("it was delivered to no box here"))
        return [restore.message(box, one.m) for box in boxes]

    def action_release(self) -> None:
        """Let it go where it is held."""
        self._with("release", self._release)

    async def _release(self, one: Selected) -> None:
        who = await self.acting(lambda loaded: queue.of_message(loaded, one.m))
        self.change("release", who, _("Release {}?"))

    def change(
        self, act: queue.Change, who: Sequence[queue.Key], question: str, why: str = ""
    ) -> None:
        """Ask, then do something to recipients of the queue; ``{}`` is how many."""
        if not who:
            raise Trouble(_("nothing of it waits in the queue"))

        def decided(yes: bool | None) -> None:
            if yes:
                start(self, "message", self.reading, act, do)

        async def do() -> None:
            self.flash(await self.acting(lambda loaded: queue.change(loaded, act, who, why)))
            self.changed()

        asked = question.format(queue.counted_recipients(len(who)))
        self.app.push_screen(Confirm(asked, count=len(who)), decided)

    def changed(self) -> None:
        """Something was done: what is shown may be old."""


def _reasoned(values: dict[str, str]) -> str:
    return "" if values["reason"].strip() else _("say why; it is kept in the log")
