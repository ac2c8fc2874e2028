"""The application: themes, keys, worker threads, and the guard around everything that changes something."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from triage_tui.runs.foreign import is_home, rules_root
from triage_tui.text import safe_line
from triage_tui.ui import pauses, theming
from triage_tui.ui.actions import ACTIONS, bindings
from triage_tui.ui.actions.model import Action
from triage_tui.ui.announcing import Announcer
from triage_tui.ui.backend import Actions, refusing
from triage_tui.ui.configuration import Configuration, ConfigurationWatch, read_configuration
from triage_tui.ui.messages import RunsListed, RunsUpdated, Trouble
from triage_tui.ui.remembered import keep, recall
from triage_tui.ui.roles import colours_of
from triage_tui.ui.run_reading import RunReadingApp
from triage_tui.ui.screens.main import MainScreen
from triage_tui.ui.settings import Settings

if TYPE_CHECKING:
    from textual import events
    from textual.command import Provider
    from textual.dom import DOMNode

    from triage_tui.retry.following_sfemu import SfemuFollower
    from triage_tui.runs.feed import RunsFeed
    from triage_tui.runs.listing import RunSummary
    from triage_tui.runs.redaction import Redaction
    from triage_tui.ui.panes.diagnosis import DiagnosisPane
    from triage_tui.ui.run_view import RunView

RUNS_DIR = "ai_runs"
_LIVENESS_S = 3.0
_FOLLOW_AFTER_S = 0.3
"""How long the first screens are left alone before runs of SFEmu are taken in."""


def _actions_provider() -> type[Provider]:
    from triage_tui.ui.screens.palette import ActionsProvider

    return ActionsProvider


def _runs_provider() -> type[Provider]:
    from triage_tui.ui.screens.palette import RunsProvider

    return RunsProvider


def _tools_provider() -> type[Provider]:
    from triage_tui.ui.screens.palette import ToolsProvider

    return ToolsProvider


class TriageApp(RunReadingApp):
    """Review interventions of one workspace.

    `actions` does what the person decides; without it, or with `read_only`, nothing can be changed whatever
    a view asks for. `open_run` is the run that is selected first. `runs_before` names the runs there were
    before a program was started: the run of that program is selected when it comes. `guests_end`: who opened
    the app ends the guests when it closes, so leaving asks first. `sfanalysis`: a directory of SFAnalysis
    results, whose pseudocode is shown before that of the runs. `remember`: begin as the app was left, and
    keep how it is left. `feed` has begun to list the runs; without it that begins after the first frame.
    """

    TITLE = "triage-tui"
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    CSS_PATH = [f"styles/{name}.tcss" for name in ("app", "main", "panes", "few_colours")]
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS = {_actions_provider, _runs_provider, _tools_provider}

    def __init__(
        self,
        workspace: Path,
        read_only: bool = False,
        actions: Actions | None = None,
        open_run: str | None = None,
        runs_before: frozenset[str] | None = None,
        theme: str = theming.DEFAULT_THEME,
        guests_end: bool = False,
        sfanalysis: Path | None = None,
        remember: bool = False,
        feed: RunsFeed | None = None,
    ) -> None:
        super().__init__()
        if self.no_color:
            # Textual turns colours into greys; NO_COLOR asks for none (https://no-color.org).
            self._filters = [NoColor() if isinstance(one, Monochrome) else one for one in self._filters]
        if colours_of(self) != "many":
            self.add_class("-few-colours")
        self.remembered = recall() if remember else None
        self.workspace = workspace
        self.runs_dir = workspace / RUNS_DIR
        self.read_only = read_only or actions is None
        self.actions: Actions = refusing() if self.read_only or actions is None else actions
        self.open_run = open_run
        self.runs_before = runs_before
        self.guests_end = guests_end
        self._sfanalysis = sfanalysis
        self._feed = feed
        configuration = read_configuration()
        self._problems = configuration.problems
        self.keys_changed: dict[str, str] = {}
        """Action to the key that it has by the user's configuration, as people write it; "" = none."""
        self.announcer = Announcer(self.tell_terminal, Settings())
        self._configuration_watch = ConfigurationWatch(self._configuration_changed)
        self._configure(configuration)
        for wanted in (theme, self.remembered.theme if self.remembered else ""):
            if self.get_theme(wanted) is not None:
                self._begin_with(wanted)
        self._masking: tuple[RunView | None, Redaction] | None = None
        """What masks the secrets of the run that is shown."""
        self._main: MainScreen | None = None
        self.decided: set[str] = set()
        """Runs whose guest was resumed or ended on the way out."""
        self._usual: pauses.Usual | None = None
        self._follower: SfemuFollower | None = None

    def _begin_with(self, theme: str) -> None:
        """Choose the theme of the first frame, before any style was read: these are then read once only."""
        self.set_reactive(TriageApp.theme, theme)
        dark = self.current_theme.dark
        classes = {f"-theme-{name}": name == theme for name in self.available_themes}
        self.update_classes({**classes, "-dark-mode": dark, "-light-mode": not dark}, update=False)
        self._refresh_truecolor_filter(self.ansi_theme)
        self.stylesheet.set_variables(self.get_css_variables())

    def secrets_masked(self, text: str) -> tuple[str, int]:
        """Return text as it may leave the machine, and in how many places secrets of the run were masked."""
        from triage_tui.ui.copied_secrets import masked, redaction_of

        view = self.main.view
        if self._masking is None or self._masking[0] is not view:
            self._masking = (view, redaction_of(view))
        return masked(text, self._masking[1])

    @property
    def main(self) -> MainScreen:
        """The main screen."""
        if self._main is None:
            self._main = MainScreen()
            if self.remembered is not None:
                self._main.recall(self.remembered)
        return self._main

    def get_default_screen(self) -> Screen[None]:
        """Start on the main screen."""
        return self.main

    def _configure(self, found: Configuration) -> None:
        """Take what was read of the user's configuration; what could not be used stays as it is."""
        for theme in found.themes:
            self.register_theme(theme)
        if found.keymap is not None and (found.keymap.keys or self.keys_changed):
            self.set_keymap(found.keymap.for_textual)
            self.keys_changed = found.keymap.shown
        if found.settings is not None:
            self.announcer.settings = found.settings

    def _configuration_changed(self, found: Configuration) -> None:
        # Called in the thread that looks at the files.
        self.call_later(self._reconfigure, found)

    def _reconfigure(self, found: Configuration) -> None:
        if not found.begins:
            self._configure(found)
            self.mutate_reactive(TriageApp.theme)
        if found.knowledge_sha256:
            cast("DiagnosisPane", self.main.pane("diagnosis")).take_knowledge(found.knowledge_sha256)
        self.main.refresh_bars()
        self.main.tile_titles()
        for problem in found.problems:
            self.notify(safe_line(problem, 300), severity="warning", markup=False, timeout=10)
        for text in found.knowledge:
            # A sentence ends with what became of it: a long one has to be read to its end.
            self.notify(safe_line(text, 700), markup=False, timeout=15)
        if not found.problems and not found.knowledge and not found.begins:
            self.notify("The configuration was read again.", timeout=2)

    def on_ready(self) -> None:
        """Read the runs now that the screen stands."""
        self._usual = pauses.shorten()
        self.set_interval(pauses.EVERY_S, self._collect)
        self.announcer.begin()
        if not self.is_headless:
            from triage_tui.ui.signals import leave_on_signals

            leave_on_signals(self)
        self.app_suspend_signal.subscribe(self, lambda _: self.announcer.end(), immediate=True)
        self.app_resume_signal.subscribe(self, lambda _: self._resumed())
        self._configuration_watch.start()
        self._begin()

    def _resumed(self) -> None:
        """Draw all again: the shell or an editor had the terminal."""
        self.announcer.begin()
        self.refresh(layout=True)

    def _begin(self) -> None:
        for problem in self._problems:
            self.notify(safe_line(problem, 300), severity="warning", markup=False)
        if self._feed is None:
            from triage_tui.runs.feed import RunsFeed

            self._feed = RunsFeed(self.runs_dir)
        self._feed.start(self)
        if is_home(self.workspace):
            if not self.workspace.is_relative_to(rules := rules_root(self.workspace)):
                told = f"{rules} cannot be written: what is read of it is kept in {self.workspace}"
                self.notify(safe_line(told, 400), markup=False)
            # What SFEmu recorded is listed at once, and read when the list stands.
            self.set_timer(_FOLLOW_AFTER_S, self._follow_sfemu)
        self.set_interval(_LIVENESS_S, self._check_holders)

    def _follow_sfemu(self) -> None:
        from triage_tui.retry.following_sfemu import SfemuFollower

        self._follower = SfemuFollower(self.workspace, self.update_runs)
        self._follower.start()

    def _collect(self) -> None:
        # What is being read is set aside when it is there; until then it would be looked through in vain.
        if not any(worker.is_running for worker in self.workers):
            pauses.collect()

    def _check_holders(self) -> None:
        # A holder or a retry that dies changes no file, so these runs are looked at again now and then.
        live = self.main.run_list.live
        if live:
            self.update_runs(live, files_changed=False)

    @property
    def is_main(self) -> bool:
        """Whether nothing lies over the main screen."""
        return self.screen is self.main

    async def typed_ahead(self, event: events.Key) -> bool:
        """Give a key to the line that is open on the main screen, if one is."""
        return self.is_main and await self.main.typed_ahead(event)

    async def ready_for(self, event: events.Key | events.Paste) -> bool:
        """Wait for a decision that is under way: a key may rest on it, as a retry on an approval.

        What was typed behind one that failed is void.
        """
        return not self.is_main or await self.main.decision_made(event.time)

    def on_unmount(self) -> None:
        """Stop watching, a decompiler, an export and an experiment: their threads would be waited for."""
        if self._usual is not None:
            pauses.restore(self._usual)
        self.announcer.end()
        self._configuration_watch.stop()
        if self.main.decompilation is not None:
            self.main.decompilation.cancel.set()
        self._readings.give_up()
        self.main.stop_exporting()
        self.main.stop_experimenting()
        self.main.stop_looking_ahead()
        self.main.stop_asking()
        self.main.stop_reading_calls()
        self.main.stop_deciding()
        self.main.stop_waiting()
        if self._follower is not None:
            self._follower.stop()
        if self._feed is not None:
            self._feed.stop()
        self.note_state()

    def note_state(self) -> None:
        """Keep how the app is left."""
        if self.remembered is not None:
            self.remembered.theme = self.theme
            self.main.remember(self.remembered)
            keep(self.remembered)

    # --- worker threads: they read, and post what they read ---------------------------------------------

    def listed(self, runs: list[RunSummary]) -> None:
        """Pass the list of runs on to the screen."""
        self.main.post_message(RunsListed(runs))

    def updated(self, runs: dict[str, RunSummary | None], files_changed: bool) -> None:
        """Pass changed runs on to the screen."""
        self.main.post_message(RunsUpdated(runs, files_changed))

    def trouble(self, sentence: str) -> None:
        """Pass on what does not work."""
        self.main.post_message(Trouble(sentence))

    def early_runs(self) -> list[RunSummary] | None:
        """Return the runs if they are known before the first frame; `listed` does not tell them again."""
        return self._feed.early() if self._feed is not None else None

    def update_runs(self, run_ids: Iterable[str], *, files_changed: bool = True) -> None:
        """Summarize some runs again, in the thread of the feed."""
        if self._feed is not None:
            self._feed.look_again(run_ids, files_changed=files_changed)

    # --- app actions -----------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave; ask first what is to become of frozen guests, and of a model that is at work."""
        waiting = self.still_waiting and not self.read_only
        if not waiting and not self.main.asked:
            self.exit()
            return
        from triage_tui.ui.screens.leaving import ask_to_leave

        ask_to_leave(self)

    @property
    def still_waiting(self) -> set[str]:
        """Runs whose guest waits, without those that were decided on the way out."""
        return self.main.waiting_runs - self.decided

    @property
    def retries_running(self) -> set[str]:
        """Runs that are being retried, as far as the list knows."""
        known = map(self.main.run_list.get, self.main.run_list.live)
        return {run.run_id for run in known if run is not None and run.state == "retrying"}

    def action_help(self) -> None:
        """Show all keys."""
        from triage_tui.ui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.keys_changed, self.read_only))

    def action_command_palette(self) -> None:
        """Show all commands, with search."""
        from triage_tui.ui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Fill the palette from the list of actions that make sense now."""
        from triage_tui.ui.screens.availability import available

        for action in ACTIONS:
            if action.palette and available(self.main, action):
                key = self.keys_changed.get(action.id, action.shown_key)
                title = f"{action.label[:1].upper()}{action.label[1:]}" + (f"  ({key})" if key else "")
                yield SystemCommand(title, action.help, partial(self.call_later, self._run, action))
        for command in super().get_system_commands(screen):
            if command.title == "Theme":
                yield command

    async def _run(self, action: Action) -> None:
        place: DOMNode = self.main
        if action.scope == "app":
            place = self
        elif action.scope != "main":
            place = self.main.pane(self.main.active)
        await self.run_action(action.action, place)
