"""What the window does with its endpoint: switch it, show it, say what went wrong, remember it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from core.errors import EndpointUnusableError
from gui.actions import Actions
from gui.context import Context
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.endpoint import EndpointControl, EndpointState
from gui.formatting import plural
from gui.widgets.endpoint_badge import EndpointBadge

__all__ = ["EndpointCommands"]


class EndpointCommands(QObject):
    """Connects the endpoint's actions and its place in the top bar to `control`. `done(text)` says what was achieved.

    `under_way` counts the calls that are being answered, `function_name` is the one that the lines
    for clients name.
    """

    done = Signal(str)

    def __init__(
        self,
        window: QWidget,
        context: Context,
        actions: Actions,
        control: EndpointControl,
        badge: EndpointBadge,
        *,
        under_way: Callable[[], int],
        function_name: Callable[[], str],
    ) -> None:
        super().__init__(window)
        self._window = window
        self._context = context
        self._actions = actions
        self._control = control
        self._badge = badge
        self._under_way = under_way
        self._function_name = function_name
        self._closing = False
        control.changed.connect(self.update)
        badge.switched.connect(actions.endpoint.trigger)
        badge.asked.connect(actions.endpoint_setup.trigger)
        badge.cut_wanted.connect(control.cut)
        actions.endpoint.triggered.connect(self._switch)
        actions.endpoint_copy.triggered.connect(badge.copy_url)
        actions.endpoint_setup.triggered.connect(lambda: self._start("Show the endpoint", self._set_up()))
        self.update()

    def close(self) -> None:
        """Offer nothing more: the window closes."""
        self._closing = True
        self.update()

    def restore(self) -> None:
        """Open it as it was when the window was closed; where that fails, say so."""
        self._start("Open the endpoint", self._restore())

    def update(self, *_: object) -> None:
        """Show how it stands, and offer what can be done now."""
        control, actions = self._control, self._actions
        state, problem = control.state, control.problem
        tip = actions.endpoint_setup.toolTip()
        on = state is EndpointState.ON
        match state:
            case EndpointState.ON:
                words, tone = str(control.address), "ok"
            case EndpointState.OPENING:
                words, tone = "endpoint opens…", "starting"
            case EndpointState.CLOSING:
                calls = self._under_way()
                words, tone = f"endpoint closes · {plural(calls, 'call')}" if calls else "endpoint closes…", "draining"
            case _ if problem is not None:
                words, tone, tip = "endpoint failed", "error", f"{problem}\n{tip}"
            case _:
                words, tone = "endpoint off", "dim"
        self._badge.show_state(words, tone, url=control.url if on else "", on=on, tip=tip)
        self._badge.show_cut(state is EndpointState.CLOSING and not self._closing)
        actions.endpoint.setChecked(on)
        why_not = {
            EndpointState.OPENING: "it is being opened",
            EndpointState.CLOSING: "it answers what was asked before",
        }.get(state)
        if self._closing:
            why_not = "Stoker is closing"
        actions.set_available(actions.endpoint, why_not)
        actions.set_available(actions.endpoint_copy, None if on else "the endpoint is off")
        actions.set_available(actions.endpoint_setup, why_not)
        self._badge.switch.setEnabled(why_not is None)
        self._badge.switch.setToolTip(actions.endpoint.toolTip())
        self._badge.address.setEnabled(not self._closing)

    def _start(self, what: str, work: object) -> None:
        self._context.tasks.start(what, work)  # type: ignore[arg-type]

    def _switch(self) -> None:
        # Qt has ticked the action already; it shows what is so, not what is wished
        self.update()
        if self._control.on:
            self._start("Turn the endpoint off", self._turn_off())
        elif self._control.state is EndpointState.OFF:
            self._start("Turn the endpoint on", self._turn_on())

    async def _turn_on(self) -> None:
        try:
            await self._control.open()
        except EndpointUnusableError as error:
            await self._set_up(error)
        else:
            await self._control.remember()

    async def _turn_off(self) -> None:
        drain = False
        if calls := self._under_way():
            one = calls == 1
            text = (
                f"{plural(calls, 'call')} {'is' if one else 'are'} being answered. "
                f"{'It' if one else 'They'} can be answered first, or cut off now. "
                "Either way functions that run for them go on to their end."
            )
            choices = [
                Choice("drain_endpoint", "Answer it first" if one else "Answer them first", primary=True),
                Choice("cut_endpoint", "Cut it off" if one else "Cut them off", danger=True),
            ]
            answer = await choose(self._window, "Turn the endpoint off?", text, choices, no="Keep on")
            if answer is None:
                return
            drain = answer == "drain_endpoint"
        await self._control.close(drain=drain)
        await self._control.remember()

    async def _restore(self) -> None:
        try:
            await self._control.open()
        except EndpointUnusableError as error:
            # the error says by itself what was attempted
            self._context.tasks.failed.emit("", error)

    async def _set_up(self, problem: EndpointUnusableError | None = None) -> None:
        from gui.dialogs.endpoint import EndpointDialog

        dialog = EndpointDialog(
            self._window,
            self._context.tasks,
            self._control,
            self._function_name(),
            under_way=self._under_way,
            problem=problem or self._control.problem,
        )
        await ask(dialog)
        if dialog.moved:
            await self._control.remember(port=True)
