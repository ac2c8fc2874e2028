"""Edit a rule inside the terminal, with what is wrong with it as it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static, TextArea

from triage_tui.errors import TriageError
from triage_tui.rulebook.check.lint import Finding, Severity, lint
from triage_tui.text import safe_line
from triage_tui.ui.messages import Linted
from triage_tui.ui.screens.modal import Modal
from triage_tui.ui.widgets.lua_area import LuaArea

_LINT_AFTER_S = 0.25
"""Seconds without a key after which the text is checked."""
_SHOWN = 5
"""Findings that are shown at once."""


class EditorScreen(Modal[str | None]):
    """An editor for Lua; dismissed with the new text, or None when nothing was to be saved.

    Only text for which `editing.editable_here` holds may be given: the widget draws it as it is.
    """

    CSS_PATH = "../styles/editor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "save", "save", show=False, priority=True),
        Binding("f8", "next_finding", "next finding", show=False, priority=True),
        Binding("escape", "leave", "leave", show=False, priority=True),
    ]

    def __init__(
        self, text: str, name: str, draft: str | None = None, keep: Callable[[str], object] | None = None
    ) -> None:
        """`draft` is an edit of `text` that was begun before, to go on with; `keep` keeps one for later."""
        super().__init__()
        self._keep = keep
        self._text = text
        self._begun = text if draft is None else draft
        self._file = name
        self._warned = False
        self._timer: Timer | None = None
        self.findings: list[Finding] = []
        """What is wrong with the text, as far as it was checked."""

    def compose(self) -> ComposeResult:
        """Show the editor in a frame, and below it what is wrong."""
        with Vertical(id="editor") as frame:
            frame.border_title = Content(safe_line(self._file, 120))
            yield LuaArea(self._begun, id="editor-text")
            yield Static(Content("Checking …"), id="editor-findings")
            yield Static(
                Content("f2 or ctrl+s save   f8 next finding   esc leave without saving"), id="editor-keys"
            )

    def on_mount(self) -> None:
        """Start typing at once."""
        self.query_one(LuaArea).focus()
        self._check()

    @on(TextArea.Changed)
    def text_changed(self) -> None:
        """Check the text once no key comes any more."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_LINT_AFTER_S, self._check)

    def _check(self) -> None:
        data = self.query_one(LuaArea).text.encode("utf-8", "surrogateescape")

        def work() -> None:
            try:
                self.post_message(Linted(lint(data, self._file)))
            except TriageError as error:
                self.post_message(Linted([], f"the rule cannot be checked: {error}"))

        self.run_worker(work, thread=True, group="lint", exclusive=True, exit_on_error=False)

    @on(Linted)
    def linted(self, event: Linted) -> None:
        """Show the findings and mark their lines."""
        self.findings = event.findings
        marks: dict[int, Severity] = {}
        for finding in event.findings:
            if marks.get(finding.line) != "error":
                marks[finding.line] = finding.severity
        self.query_one(LuaArea).set_marks(marks)
        self.query_one("#editor-findings", Static).update(Content(self._words(event)))

    @staticmethod
    def _words(event: Linted) -> str:
        if event.trouble:
            return safe_line(event.trouble, 300)
        if not event.findings:
            return "✓ The rule compiles, and nothing is wrong with it."
        errors = [finding for finding in event.findings if finding.severity == "error"]
        ordered = errors + [finding for finding in event.findings if finding.severity != "error"]
        words = {"error": "✗ error", "warning": "! warning"}
        shown = ordered[:_SHOWN]
        lines = [f"{words[one.severity]}, line {one.line}: {safe_line(one.message, 200)}" for one in shown]
        if len(ordered) > _SHOWN:
            lines.append(f"and {len(ordered) - _SHOWN} more")
        if errors:
            lines.append("It can be saved as it is, but not approved.")
        return "\n".join(lines)

    def action_next_finding(self) -> None:
        """Go to the next line at which something is wrong."""
        area = self.query_one(LuaArea)
        lines = sorted({finding.line - 1 for finding in self.findings})
        if lines:
            row = area.cursor_location[0]
            wanted = next((line for line in lines if line > row), lines[0])
            area.move_cursor((min(wanted, area.document.line_count - 1), 0), center=True)

    def keep_edit(self) -> None:
        """Keep what is not saved: the app is told to end."""
        for area in self.query(LuaArea):
            if self._keep is not None and area.text != self._text:
                self._keep(area.text)

    def action_save(self) -> None:
        """Leave with the text."""
        text = self.query_one(LuaArea).text
        self.dismiss(text if text != self._text else None)

    def action_leave(self) -> None:
        """Leave; the first press warns when there are changes."""
        if self.query_one(LuaArea).text != self._text and not self._warned:
            self._warned = True
            self.query_one("#editor-keys", Static).update(
                Content("Not saved. esc again throws the changes away, f2 saves them.")
            )
            return
        self.dismiss(None)
