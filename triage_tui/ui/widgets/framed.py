"""A container with a frame whose title changes often: only the line of the title is drawn then."""

from __future__ import annotations

from typing import Self

from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region


class Framed(Vertical):
    """Widgets one over the other in a frame."""

    def __init__(self, id: str) -> None:
        self._title: Content | None = None
        self._titling = False
        super().__init__(id=id, classes="tile")

    def entitle(self, title: Content) -> None:
        """Give it a title, if it is another one."""
        if self._title is not None and self._title.is_same(title):
            return
        self._title = title
        self._titling = True
        try:
            self.border_title = title
        finally:
            self._titling = False

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw again; all that is inside is drawn with it, which a title does not change."""
        if self._titling and not regions:
            left, top = self.content_offset
            regions = (Region(-left, -top, self.outer_size.width, 1),)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
