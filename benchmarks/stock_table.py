"""What Textual itself offers for ten thousand rows, to compare keys with: a `DataTable`."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import DataTable

ROWS = 10_000
LAST = "row 00009"
"""A text that is on the screen when a person can begin."""


class StockTable(App[None]):
    """A table with a cursor over rows."""

    def compose(self) -> ComposeResult:
        """Show it."""
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        """Fill it."""
        table = self.query_one(DataTable)
        table.add_columns("time", "program", "cause", "state")
        table.add_rows(("12:00", f"row {number:05}", "missing_file", "proposed") for number in range(ROWS))
        table.focus()


if __name__ == "__main__":
    StockTable().run()
