"""The endpoint: its port, and the lines that make a client call it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtGui import QFontMetrics, QGuiApplication
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget
from shiboken6 import isValid

from core.errors import EndpointUnusableError
from gui.dialogs.base import StokerDialog
from gui.dialogs.fields import Fields, whole_number
from gui.endpoint import EndpointControl
from gui.formatting import plural
from gui.tasks import Tasks
from gui.theme import mono_font

__all__ = ["EndpointDialog", "client_lines"]

_COPIED_MS = 1500
_LINE_AT_MOST = 760


def client_lines(url: str, function_name: str) -> tuple[tuple[str, str, str], ...]:
    """What to paste so that clients call this URL: an object name, for whom it is, and the line."""
    return (
        (
            "cli",
            "AWS CLI",
            f"aws lambda invoke --endpoint-url {url} --function-name {function_name} /dev/stdout",
        ),
        ("boto3", "boto3", f'boto3.client("lambda", endpoint_url="{url}")'),
        ("export", "Any SDK", f"export AWS_ENDPOINT_URL_LAMBDA={url}"),
    )


class EndpointDialog(StokerDialog):
    """Shows how the endpoint stands while it is open, and puts it on another port.

    `under_way` counts the calls that a change of port would cut off; `problem` is what the first
    attempt failed with.
    """

    def __init__(
        self,
        parent: QWidget | None,
        tasks: Tasks,
        control: EndpointControl,
        function_name: str,
        *,
        under_way: Callable[[], int],
        problem: EndpointUnusableError | None = None,
    ) -> None:
        super().__init__(parent, "Endpoint", "endpoint_dialog")
        self._tasks, self._control, self._function, self._under_way = tasks, control, function_name, under_way
        self._busy = False
        self.moved = False
        """Whether the person has put it on another port, or turned it on."""
        self._state = self.say("")
        self._state.setObjectName("endpoint_state")
        self.port = whole_number("endpoint_port", "Port", (0, 65_535), least_means="any free port")
        # a port is no quantity
        self.port.setGroupSeparatorShown(False)
        self.port.setValue(control.port)
        self._fields = Fields()
        row = QWidget()
        beside = QHBoxLayout(row)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(self.port)
        beside.addStretch(1)
        self._fields.add("port", "Port", self.port, row)
        self.body.addWidget(self._fields)
        self.body.addSpacing(8)
        self._lines: dict[str, QLineEdit] = {}
        self.body.addLayout(self._client_lines())
        self.say("Clients insist on credentials and a region; any will do here.", "small")
        self.foot.addStretch(1)
        self.button("Close", "close").clicked.connect(self.reject)
        self._go = self.button("Turn on", "endpoint_apply", primary=True, default=True)
        self._go.clicked.connect(self.apply)
        self.port.valueChanged.connect(self._show)
        control.changed.connect(self._show)
        self._show()
        if problem is not None:
            self._tell(problem)

    def apply(self) -> None:
        """Open the endpoint on the port that is chosen."""
        if not self._busy:
            self._tasks.start("Open the endpoint", self._open(self.port.value()))

    async def _open(self, port: int) -> None:
        self._busy = True
        self._show()
        try:
            await self._control.open(port)
        except EndpointUnusableError as error:
            if isValid(self):
                self._tell(error)
        else:
            self.moved = True
            if isValid(self):
                self._fields.wrong("port", "")
        finally:
            self._busy = False
            if isValid(self):
                self._show()

    def _tell(self, problem: EndpointUnusableError) -> None:
        self._fields.wrong("port", f"{problem.reason[:1].upper()}{problem.reason[1:]}.")
        self.port.selectAll()

    def _client_lines(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        for row, (name, who, longest) in enumerate(client_lines("http://127.0.0.1:65535", self._function)):
            label = QLabel(who)
            label.setProperty("role", "dim")
            label.setMinimumWidth(104)
            line = QLineEdit()
            line.setObjectName(f"endpoint_line_{name}")
            line.setAccessibleName(f"For {who}")
            line.setReadOnly(True)
            line.setFont(mono_font(1.0))
            line.setMinimumWidth(min(_LINE_AT_MOST, QFontMetrics(line.font()).horizontalAdvance(longest) + 24))
            label.setBuddy(line)
            self._lines[name] = line
            copy = QPushButton("Copy")
            copy.setObjectName(f"endpoint_copy_{name}")
            copy.setAccessibleName(f"Copy the line for {who}")
            copy.setAutoDefault(False)
            copy.setFixedWidth(copy.fontMetrics().horizontalAdvance("Copied") + 28)
            copy.clicked.connect(lambda _=False, button=copy, of=line: self._copy(button, of))
            grid.addWidget(label, row, 0)
            grid.addWidget(line, row, 1)
            grid.addWidget(copy, row, 2)
        return grid

    @staticmethod
    def _copy(button: QPushButton, line: QLineEdit) -> None:
        QGuiApplication.clipboard().setText(line.text())
        button.setText("Copied")
        QTimer.singleShot(_COPIED_MS, button, lambda: button.setText("Copy"))

    def _show(self, *_: object) -> None:
        control, port = self._control, self.port.value()
        address = control.address
        here = address is not None and (port == control.port or address.endswith(f":{port}"))
        if address is None:
            self._state.setText("The endpoint is off. Turned on, it answers AWS SDKs and the AWS CLI on this machine.")
            self._go.setText("Turn on")
        else:
            text = f"AWS SDKs and the AWS CLI on this machine reach this pool at {control.url}."
            if not here and (calls := self._under_way()):
                text += f" Another port cuts off {plural(calls, 'call')} under way."
            self._state.setText(text)
            self._go.setText("Change port")
        self._go.setEnabled(not here and not self._busy)
        # with the port as it would be
        url = control.url if here else f"http://127.0.0.1:{port or 'PORT'}"
        for name, _who, text in client_lines(url, self._function):
            self._lines[name].setText(text)
            self._lines[name].setCursorPosition(0)
