"""What Textual looks up for a widget is looked up where it may be something else, and given where it is.

Each class that comes or goes, each change of the focus and each sheet that closes has Textual look up the
styles of all widgets below. It would leave those alone whose styles stay, but the comparison that is to tell
(of `textual.css.styles.Styles`, a dataclass) counts how often styles were set as well, and so always tells a
difference: every list forgets the rows it has drawn, and everything is drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from textual.cache import LRUCache
from textual.css.model import SelectorType
from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from textual.css.model import RuleSet, Selector
    from textual.css.styles import RulesMap
    from textual.dom import DOMNode

_SOURCES = 512
"""Style sheets whose rules are kept: there is one for each kind of widget."""
_THEMES = 4
"""Themes for which they are kept."""
_SEEN_THROUGH = (
    "color",
    "auto_color",
    "background",
    "background_tint",
    "tint",
    "opacity",
    "text_opacity",
    "text_style",
)
"""What of a widget the colours of those in it follow from."""

Names = frozenset[str]
State = tuple[Names, tuple[bool, ...]]
"""What styles follow from beside the rules: names that rules know a widget by, and what of it and of
those around it such a rule asks for."""


class Styling(Stylesheet):
    """A style sheet that leaves alone what has its styles, and reads each source once for each theme."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = _read(self._variables)
        self._given: WeakKeyDictionary[DOMNode, RulesMap] = WeakKeyDictionary()
        """What widgets were given since the theme was set; what they make of it has more entries."""
        self._changed: set[DOMNode] = set()
        """Widgets that look otherwise since their styles were last looked up, so that what is in them may."""
        self._states: WeakKeyDictionary[DOMNode, State] = WeakKeyDictionary()
        """The states in which styles were last looked up."""
        self._asked: dict[Names, list[Selector]] = {}
        """What may come and go of that which the rules for some names ask for."""
        self._known: dict[str, list[RuleSet]] | None = None
        """The rules that the two before are of."""

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take the colours of a theme: what was drawn in those before has to be drawn anew."""
        self._given.clear()
        self._states.clear()
        if variables != self._variables:
            # What is set aside there is what was read for a theme that may come back.
            self._parse_cache = LRUCache(1)
            super().set_variables(variables)
            self._parse_cache = _read(variables)

    def reparse(self) -> None:
        """Read what came, and after a change of the variables all."""
        self.parse()

    def apply(
        self,
        node: DOMNode,
        *,
        animate: bool = False,
        cache: dict[tuple[object, ...], RulesMap] | None = None,
    ) -> None:
        """Look the styles of a widget up, unless nothing changed of what they follow from."""
        # Parts of widgets that have styles of their own are not remembered: they are made anew each time.
        if cache is None or node._get_component_classes():
            super().apply(node, animate=animate, cache=cache)
            return
        state = self._state(node)
        if self._states.get(node) != state:
            super().apply(node, animate=animate, cache=cache)
            self._states[node] = state

    def _state(self, node: DOMNode) -> State:
        rules = self.rules_map
        if self._known is not rules:
            self._known = rules
            self._states.clear()
            self._asked.clear()
        names = frozenset(rules.keys() & node._selector_names)
        asked = self._asked.get(names)
        if asked is None:
            asked = self._asked[names] = _changing(rule for name in names for rule in rules[name])
        path = node.css_path_nodes
        return names, tuple(selector.check(one) for selector in asked for one in path)

    def update_nodes(self, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        """Look the styles of widgets up again."""
        nodes = list(nodes)
        self._changed.clear()
        super().update_nodes(nodes, animate=animate)
        if self._changed:
            for node in nodes:
                if node not in self._changed and not self._changed.isdisjoint(node.ancestors):
                    node.notify_style_update()
            self._changed.clear()

    def replace_rules(  # type: ignore[override]
        self, node: DOMNode, rules: RulesMap, animate: bool = False
    ) -> None:
        """Give a widget its styles, unless it has them."""
        had = self._given.get(node)
        if had is not None:
            if had == rules:
                return
            if any(had.get(name) != rules.get(name) for name in _SEEN_THROUGH):
                self._changed.add(node)
        super().replace_rules(node, rules, animate=animate)
        self._given[node] = rules


_READ: LRUCache[Names, LRUCache[tuple[object, ...], list[RuleSet]]] = LRUCache(_THEMES)


def _read(variables: dict[str, str]) -> LRUCache[tuple[object, ...], list[RuleSet]]:
    """Return the rules that were read for a theme: they say nothing of an app, and are never changed."""
    theme = frozenset(f"{name}: {value}" for name, value in variables.items())
    known = _READ.get(theme)
    if known is None:
        known = _READ[theme] = LRUCache(_SOURCES)
    return known


def _changing(rules: Iterable[RuleSet]) -> list[Selector]:
    """Return what rules ask for that a widget may have at one time and not at another: classes and states."""
    found = {
        (selector.type, selector.name, frozenset(selector.pseudo_classes)): selector
        for rule in rules
        for selectors in rule.selector_set
        for selector in selectors.selectors
        if selector.type is SelectorType.CLASS or selector.pseudo_classes
    }
    return list(found.values())
