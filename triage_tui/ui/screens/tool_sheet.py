"""The sheet of the tools: choose one, fill in its fields, read what it answers and follow it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from triage_tui.analyst.tools import Tool, all_tools, by_name
from triage_tui.analyst.tools.texts import about, kind_of
from triage_tui.errors import Stopped, TriageError
from triage_tui.text import safe_line
from triage_tui.ui.answer_rows import AnswerRows
from triage_tui.ui.rows import ListRows, Row, fit, wrap_parts
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.analyst.tools.choices import Choice
    from triage_tui.retry.inspecting.tool_desk import Answer, ToolDesk

Follow = Callable[[str, "Answer", dict[str, str], int], None]
"""Goes to a link of an answer; gets what was asked and the row as well, to come back to."""
MAX_OFFERED = 200
MAX_LINES = 200
_NAME = 26
_KEYS = {
    "choose": "⏎ choose   / find   esc leave",
    "fill": "⏎ ask   tab next field   ↓ choose a value   esc back",
    "ask": "esc stop",
    "answer": "⏎ go there   / find   y copy   esc back",
}
_FIND = "#help-find"


class ToolField(Field):
    """One argument of a tool, as text."""

    def __init__(self, entered: Callable[[], None], text: str, argument: str, hint: str) -> None:
        super().__init__(entered, text, hint=hint, id=f"tool-{argument}")
        self.add_class("tool-value")
        self.argument = argument


class ToolSheet(Sheet):
    """One tool after the other, on the run that is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "to_choices", "choose a value", show=False),
    ]

    def __init__(
        self,
        desk: ToolDesk,
        follow: Follow,
        note: Callable[[str, dict[str, str]], str] | None,
        noted: Callable[[str], None],
        *,
        tool: str = "",
        texts: dict[str, str] | None = None,
        answer: Answer | None = None,
        cursor: int = 0,
    ) -> None:
        """`note` carries out a tool that writes, None where nothing may be; `noted` gets what it said.

        With `tool` its fields are shown at once, with `texts` in them; with `answer` that is shown.
        """
        super().__init__("Tools", self._rows_now, wide=True)
        self._desk, self._follow, self._note, self._noted = desk, follow, note, noted
        self._tool: Tool | None = by_name(tool) if tool else None
        self._listed = not tool
        """Whether leaving the fields leads back to the list."""
        self._texts = dict(texts or {})
        self._guess = {} if tool else dict(self._texts)
        self._answer = answer
        self._first = cursor
        self._step: Literal["choose", "fill", "ask", "answer"] = "choose"
        self._lines: list[str] = []
        self._offered: dict[str, list[Choice]] = {}
        self._offered_for: str | None = None
        self._cancel = threading.Event()

    def compose(self) -> ComposeResult:
        """Show the fields of a tool above the rows."""
        with Vertical(id="help"):
            yield Vertical(id="tool-fields")
            yield Static(id="tool-about")
            yield self.LIST(id="help-rows", empty="Nothing here holds that.")
            yield Field(self._to_rows, hint="words to find", id="help-find")

    async def on_mount(self, event: events.Mount) -> None:  # type: ignore[override]
        """Begin with the list, the fields or the answer; not as a sheet does that has nothing but rows."""
        event.prevent_default()
        if self._answer is not None:
            self._show("answer")
            self.call_after_refresh(self.query_one(LineView).move_to, self._first)
        elif self._tool is not None:
            await self._fill(self._tool)
        else:
            self._show("choose")

    def on_unmount(self) -> None:
        """Let end what is under way."""
        self._cancel.set()

    # --- what is shown -----------------------------------------------------------------------------------

    def _show(self, step: Literal["choose", "fill", "ask", "answer"]) -> None:
        self._step = step
        name = self._tool.name if self._tool is not None else ""
        frame = self.query_one("#help", Vertical)
        frame.border_title = Content("Tools" if step == "choose" else name)
        keys = _KEYS[step]
        if self._tool is not None and self._tool.writes:
            keys = keys.replace("⏎ ask", "⏎ write it down")
        frame.border_subtitle = Content(keys)
        self.query_one("#tool-fields").display = step == "fill"
        self.query_one("#tool-about").display = step == "fill"
        find = self.query_one(_FIND, Field)
        find.display = False
        find.value = ""
        self.show_found("")
        if step != "fill":
            self.set_focus(self.query_one(LineView))

    def show_found(self, text: str) -> None:
        """Show the rows that hold all words of `text`; values for a field are none that have to be found."""
        empty = "" if self._step == "fill" else "Nothing here holds that."
        words = text.lower().split()
        rows = ListRows(lambda width: self.found(width, words))
        self.query_one(LineView).set_rows(rows, cursor=0, empty=empty)

    def _rows_now(self, width: int) -> list[Row]:
        match self._step:
            case "choose":
                return self._tool_rows(width)
            case "fill":
                return self._choice_rows(width)
            case "ask":
                said = [Row(((f" {line}", "muted"),)) for line in self._lines]
                return [Row(((" asking …", ""),)), *said]
            case "answer":
                assert self._answer is not None
                return AnswerRows(self._answer.values, self._answer.biases, width).rows()

    def _tool_rows(self, width: int) -> list[Row]:
        rows: list[Row] = []
        for tool in all_tools():
            if tool.writes and self._note is None:
                continue
            whole = f"{tool.name} {tool.description}"
            for number, parts in enumerate(wrap_parts([(tool.description, "muted")], width - _NAME - 2)):
                head = fit(f" {tool.name}" if number == 0 else "", _NAME)
                rows.append(Row(((head, "strong"), *parts), tool.name, whole=whole))
        return rows

    def _choice_rows(self, width: int) -> list[Row]:
        field = self._field
        if field is None:
            return []
        typed = field.value.rpartition(",")[2].strip().lower()
        known = self._offered.get(field.argument, [])
        found = [one for one in known if typed in one.value.lower()]
        found.sort(key=lambda one: not one.value.lower().startswith(typed))
        column = min(48, max((len(one.value) for one in found[:MAX_OFFERED]), default=0) + 2)
        return [
            Row(
                ((f" {fit(safe_line(one.value, 300), column)}", ""), (safe_line(one.about, 200), "muted")),
                one,
            )
            for one in found[:MAX_OFFERED]
        ]

    # --- the fields --------------------------------------------------------------------------------------

    @property
    def _field(self) -> ToolField | None:
        """The field that is filled in."""
        fields = list(self.query(".tool-value").results(ToolField))
        return next((one for one in fields if one.has_class("-current")), fields[0] if fields else None)

    async def _fill(self, tool: Tool) -> None:
        self._tool = tool
        holder = self.query_one("#tool-fields", Vertical)
        await holder.remove_children()
        known = tool.parameters.get("properties", {})
        if not known:
            self._show("ask")
            self._ask()
            return
        for name, schema in known.items():
            needed = name in tool.parameters["required"]
            default = schema.get("default")
            hint = "needed" if needed else kind_of(schema) + (f"; without: {default}" if default else "")
            label = Static(Content(fit(name.replace("_", " "), _NAME)), classes="tool-name")
            value = ToolField(self._enter, self._texts.get(name, ""), name, hint)
            await holder.mount(Horizontal(label, value, classes="tool-field"))
        self._offered, self._offered_for = {}, None
        self._show("fill")
        empty = [one for one in self.query(".tool-value").results(ToolField) if not one.value]
        self.set_focus(empty[0] if empty else self._field)
        self._offer()

    def _offer(self) -> None:
        """Look in a thread for what the run has for each field."""
        tool, desk = self._tool, self._desk
        module = self._value("module")
        if tool is None or self._offered_for == module:
            return
        self._offered_for = module

        def work() -> None:
            found = desk.choices(tool.name, module)
            self.app.call_from_thread(self._take_choices, tool, found)

        self.run_worker(work, thread=True, group="choices", exclusive=True, exit_on_error=False)

    def _take_choices(self, tool: Tool, found: dict[str, list[Choice]]) -> None:
        if self.is_attached and self._tool is tool and self._step == "fill":
            self._offered = found
            self.show_found("")

    def _value(self, name: str) -> str:
        return next((one.value for one in self.query(f"#tool-{name}").results(ToolField)), "")

    @on(events.DescendantFocus)
    def _focused(self, event: events.DescendantFocus) -> None:
        field = event.widget
        if not isinstance(field, ToolField) or self._tool is None:
            return
        for one in self.query(".tool-value"):
            one.set_class(one is field, "-current")
        schema = self._tool.parameters["properties"].get(field.argument, {})
        many = "  Several are separated by commas." if kind_of(schema) == "array" else ""
        said = about(schema) or self._tool.description
        self._tell(f"{said[:1].upper()}{said[1:]}.{many}".replace("..", "."))
        if field.argument != "module":
            self._offer()
        self.show_found("")

    def _tell(self, sentence: str) -> None:
        self.query_one("#tool-about", Static).update(Content(safe_line(sentence, 300)))

    @on(Input.Changed, ".tool-value")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._step == "fill":
            self.show_found("")

    def action_to_choices(self) -> None:
        """Go from a field to the values that the run has for it."""
        view = self.query_one(LineView)
        if self._step == "fill" and len(view.rows):
            self.set_focus(view)

    def opened(self, event: LineView.Opened) -> None:
        """Choose the tool or the value of the row, or go to its evidence."""
        row = self.query_one(LineView).current
        if row is None:
            return
        if self._step == "choose":
            # What is changed is chosen; all else is likely to be about where the person is.
            self._texts = {} if row.target.startswith("update_") else dict(self._guess)
            self.run_worker(self._fill(by_name(row.target)), group="fill", exclusive=True)
        elif self._step == "fill" and (field := self._field) is not None:
            before, comma, _ = field.value.rpartition(",")
            several = kind_of(self._schema(field)) == "array"
            field.value = f"{before}{comma}{row.target.value}" if several else row.target.value
            field.cursor_position = len(field.value)
            self.set_focus(field)
        elif self._step == "answer" and self._answer is not None:
            if event.link is None:
                self.app.notify("This line leads to no place in the run.", markup=False, timeout=6)
                return
            place, answer = self.query_one(LineView).cursor, self._answer
            self.dismiss(None)
            self._follow(event.link, answer, self._texts, place)

    def _schema(self, field: ToolField) -> dict[str, object]:
        return self._tool.parameters["properties"].get(field.argument, {}) if self._tool else {}

    # --- asking ------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """Ask with what is typed; say what is missing."""
        if self._tool is None or self._step != "fill":
            return
        self._texts = {one.argument: one.value for one in self.query(".tool-value").results(ToolField)}
        for name in self._tool.parameters["required"]:
            if not self._texts.get(name, "").strip():
                self.set_focus(self.query_one(f"#tool-{name}", Field))
                self._tell(f"{name.replace('_', ' ').capitalize()} is needed.")
                return
        self._ask()

    def _ask(self) -> None:
        tool, texts = self._tool, self._texts
        assert tool is not None
        cancel = self._cancel = threading.Event()
        self._lines = []
        self._show("ask")

        def tell(line: str) -> None:
            if not cancel.is_set():
                self.app.call_from_thread(self._take_line, cancel, line)

        def work() -> None:
            end: Callable[[], None]
            try:
                if tool.writes and self._note is not None:
                    end = partial(self._noted_here, self._note(tool.name, texts))
                else:
                    end = partial(self._answered, self._desk.ask(tool.name, texts, cancel, tell))
            except Stopped:
                return
            except TriageError as error:
                end = partial(self._failed, str(error))
            except Exception as error:
                # Its own defect must not take the review down.
                end = partial(self._failed, f"{tool.name} has no answer to this ({type(error).__name__})")
            if not cancel.is_set():
                self.app.call_from_thread(self._ended, cancel, end)

        self.run_worker(work, thread=True, group="tool", exit_on_error=False)

    def _take_line(self, cancel: threading.Event, line: str) -> None:
        if self.is_attached and cancel is self._cancel and self._step == "ask":
            self._lines = [*self._lines, safe_line(line, 300)][-MAX_LINES:]
            view = self.query_one(LineView)
            view.set_rows(ListRows(self._rows_now))
            view.move_to(len(self._lines))

    def _ended(self, cancel: threading.Event, end: Callable[[], None]) -> None:
        if self.is_attached and cancel is self._cancel and self._step == "ask":
            end()

    def _answered(self, answer: Answer) -> None:
        self._answer = answer
        self._show("answer")

    def _noted_here(self, sentence: str) -> None:
        self.dismiss(None)
        self._noted(sentence)

    def _failed(self, sentence: str) -> None:
        from triage_tui.retry.inspecting.tool_desk import Answer

        assert self._tool is not None
        self._answered(Answer(self._tool.name, {"error": sentence}))

    async def action_leave(self) -> None:  # type: ignore[override]
        """Go one step back: from what is typed, the answer, the fields, the list."""
        if self.query_one(_FIND, Field).display:
            super().action_leave()
            return
        fields = self._tool is not None and bool(self._tool.parameters.get("properties"))
        if self._step == "ask":
            self._cancel.set()
        if self._step in ("ask", "answer") and fields and self._tool is not None:
            await self._fill(self._tool)
        elif self._step != "choose" and self._listed:
            self._show("choose")
        else:
            self.dismiss(None)
