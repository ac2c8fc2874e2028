"""Keys typed into the app in a terminal: how long until the paint, and how long its loop was blocked."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import stock_table
from benchmarks.terminal import Terminal
from benchmarks.workspaces import HEAP
from triage_tui.ui import theming
from triage_tui.ui.roles import Roles

HERE = Path(__file__).resolve().parents[1]
_RUNS = "1 Diagnosis"
DOWN, UP, PAGE_DOWN, HOME, END = "\x1b[B", "\x1b[A", "\x1b[6~", "\x1b[H", "\x1b[F"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least one value."""
    return (
        values[0]
        if len(values) == 1
        else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
    )


def cursor_colour() -> str:
    """Return the background of the row under the cursor, as pyte writes it."""
    themes, _ = theming.load_themes()
    theme = next(one for one in themes if one.name == theming.DEFAULT_THEME)
    fill = Roles({**theme.to_color_system().generate(), **theme.variables}).fill("cursor")
    assert fill is not None
    assert fill.bgcolor is not None
    triplet = fill.bgcolor.get_truecolor()
    return f"{triplet.red:02x}{triplet.green:02x}{triplet.blue:02x}"


def cursor_row(terminal: Terminal) -> Callable[[], object]:
    """Return what tells where the cursor is and what stands there."""
    colour = cursor_colour()

    def look() -> object:
        found = []
        for number, row in terminal.screen.buffer.items():
            cells = [column for column, cell in row.items() if cell.bg == colour]
            if len(cells) > 10:
                found.append((number, "".join(row[column].data for column in sorted(cells))))
        return found

    return look


def list_rows(terminal: Terminal) -> Callable[[], object]:
    """Return what tells the title of the list of runs, which names the filter in force, and its rows."""
    return lambda: [line[:37] for line in terminal.screen.display[1:38]]


def opened(terminal: Terminal) -> None:
    """Wait until the first run is on the screen and the app rests."""
    terminal.wait_for(_RUNS)
    terminal.settle(1.5)


def _moves(terminal: Terminal, count: int, look: Callable[[], object]) -> Iterator[float]:
    """Press keys as a person moves through rows: mostly down, then by pages, then up."""
    for number in range(count):
        key = PAGE_DOWN if number % 6 == 5 else UP if number % 6 == 4 else DOWN
        yield terminal.answer(key, look)


def go_to(terminal: Terminal, address: int) -> None:
    """Go to an address in the memory pane, which is the active one."""
    terminal.send("g")
    terminal.settle()
    terminal.send(f"{address:x}\r")
    terminal.settle()


def measure_keys(
    many: list[str], large: list[str], environment: dict[str, str], count: int
) -> dict[str, list[float]]:
    """Return what was pressed -> seconds to the paint, of each key."""
    found: dict[str, list[float]] = {}
    with Terminal(many, HERE, environment=environment) as terminal:
        opened(terminal)
        found["runs list, 10,000 runs"] = list(_moves(terminal, count, cursor_row(terminal)))
        found["filter, 10,000 runs"] = list(_filters(terminal, max(3, count // 10)))
    with Terminal(large, HERE, environment=environment) as terminal:
        opened(terminal)
        terminal.send("3")
        terminal.settle()
        terminal.send("g")
        terminal.settle()
        found["timeline, 100,000 calls"] = list(_moves(terminal, count, cursor_row(terminal)))
        terminal.send("7")
        terminal.settle()
        go_to(terminal, HEAP)
        found["hex view, 1 GiB"] = list(_moves(terminal, count, cursor_row(terminal)))
    return found


def measure_peer_keys(
    peers: Mapping[str, list[str]], environment: dict[str, str], count: int
) -> dict[str, list[float]]:
    """Return the same for Textual's own table of rows, and for letters typed where each of `peers` begins.

    A peer that does not start, or takes no letters there, is left out.
    """
    found: dict[str, list[float]] = {}
    table = [sys.executable, "-m", "benchmarks.stock_table"]
    with Terminal(table, HERE, environment=environment) as terminal:
        terminal.wait_for(stock_table.LAST)
        terminal.settle(1.5)
        found["stock DataTable, 10,000 rows"] = list(_moves(terminal, count, _coloured(terminal)))
    for name, command in peers.items():
        try:
            with Terminal(command, HERE, environment=environment) as terminal:
                terminal.wait_for_frame()
                terminal.settle(2.0)
                shown = partial(getattr, terminal.screen, "display")
                found[f"a letter typed, {name}"] = [terminal.answer("x", shown) for _ in range(count // 3)]
        except RuntimeError as error:
            print(f"{name} is left out: {str(error).splitlines()[0]}", flush=True)
    return found


def _coloured(terminal: Terminal) -> Callable[[], object]:
    """Return what tells the rows and their colours, for a cursor of any colour."""
    rows = range(terminal.screen.lines)
    return lambda: [(terminal.screen.buffer[row][3].bg, terminal.screen.display[row]) for row in rows]


def _filters(terminal: Terminal, count: int) -> Iterator[float]:
    """Type filters one character at a time; all but the last two leave many runs."""
    rows = list_rows(terminal)
    for number in range(count):
        terminal.send("/")
        terminal.settle()
        for character in f"xl-{number % 10}":
            yield terminal.answer(character, rows)
        terminal.send("\x1b")
        terminal.settle()
