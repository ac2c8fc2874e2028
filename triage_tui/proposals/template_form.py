"""The form of the files with templates, as msgspec structures; docs/schemas has it as a JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from triage_tui.proposals.requests import RequestEntry
from triage_tui.proposals.start_values import START_LITERALS
from triage_tui.rulebook.start_settings import Setting
from triage_tui.runs.diagnosis_model import Risk

PLACEHOLDER = re.compile(r"@([a-z_]+)@")
LITERALS = frozenset(
    (
        "path", "absolute", "directory", "interface", "content", "device", "request_number",
        "first_argument", "peer_bytes", "is_path", "level", "option", "process", "signal",
        "path_argument", "flags_argument", "path_number", "endian", "word", "answers", "size",
        "stack_register", "copy", "copy_directory", "copy_content", "descriptor", "protocol", "hosts",
        "may_go", "wants_directory", "awaited_text", "text_unknown", "kind_bits", "may_be_empty",
        "peer_at", "peer_replies", "peer_greeting",
        "kernel_file", "store_keys", "only_from",
        *START_LITERALS,
        "variable_file", "variable_build", "variable_offset", "variable_format", "variable_value",
        "variable_from", "value_unknown",
    )
)  # fmt: skip
"""What may stand between @ and @: what `parameters.literals` and the building of a rule put there."""
CALLS = {
    "connect": "connect", "bind": "bind", "ioctl": "ioctl", "kill": "kill", "setsockopt": "sockopt",
    "getsockopt": "sockopt", "socket": "socket",
}  # fmt: skip
"""Calls with a text of their own: syscall -> key of `lua`."""
VARIANTS = ("default", "with_path", "open", "getsockopt", *dict.fromkeys(CALLS.values()))
"""Keys of `lua`: for which calls the text is; reading an option may need another one than setting it."""

Field = Literal["path", "interface", "request", "peer", "detail"]
"""What of a call the header of a rule can name."""
FIELDS: tuple[Field, ...] = get_args(Field)

_Line = Annotated[str, Meta(min_length=1, max_length=600)]


class Requires(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which calls a template is for; an empty list is all."""

    operation: list[str] = []
    syscalls: list[str] = []
    errno: list[str] = []
    path: Annotated[str, Meta(description="RE2 expression for the absolute guest path")] = ""
    options: Annotated[
        list[Annotated[str, Meta(pattern=r"^\d{1,5}:\d{1,5}-\d{1,5}$")]],
        Meta(description="socket options, LEVEL:FIRST-LAST"),
    ] = []


Gives = Literal["real", "made", "answer", "refusal", "success"]
"""What the program gets, the best first: the real thing (a user, a directory that is there), a made-up one
that is there (a file, a directory), made-up answers with nothing behind them, a refusal, only a success."""
Undone = Literal["at_once", "next_start", "by_hand"]
"""When rolling back takes effect: some of what a rule did stays with a program that runs on."""


class After(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Templates that this one stands behind, whatever else speaks for it, and why."""

    templates: list[str]
    because: _Line


class OnSfemu(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is said in the place of the texts of the same name where SFEmu runs the rule.

    Its programs have the real root file system: what a rule makes there stays.
    """

    inverse: _Line
    effect: _Line = ""


class TemplateEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One template as it is written. `{name}` in the texts stands for what is known of the failure."""

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    title: _Line
    intent: _Line
    effect: _Line
    risk: Risk
    risk_text: _Line
    inverse: _Line
    hit_limit: Annotated[int, Meta(ge=0, le=999_999_999, description="0: no limit")]
    observe: bool = False
    needs_input: str | None = None
    at: Annotated[str, Meta(description="parameter that names the calls to hook")] = "syscalls"
    requires: Requires = msgspec.field(default_factory=Requires)
    parameters: list[str] = []
    unless: list[str] = []
    hooks: Annotated[list[str], Meta(description="calls that the rule is for, if not those that failed")] = []
    about: Annotated[
        list[Field] | None,
        Meta(
            description="what of the failed call the rule's code looks at; default: all, with `hooks` nothing"
        ),
    ] = None
    uses: list[str] = []
    lua: dict[str, str] = {}
    gives: Annotated[
        Gives | None, Meta(description="default: real for a setting of the start, else answer")
    ] = None
    undone: Annotated[Undone | None, Meta(description="default: next_start for a setting of the start")] = (
        None
    )
    after: list[After] = []
    on_sfemu: OnSfemu | None = None
    start: dict[Setting, str] = {}
    plugin: dict[str, str] = {}

    @property
    def fields(self) -> Sequence[Field]:
        """What of the failed call the header of the rule names: what its code looks at."""
        if self.about is not None:
            return self.about
        return () if self.hooks else FIELDS

    @property
    def given(self) -> Gives:
        """What the program gets; for a setting of the start, and what a person does, the real thing."""
        return self.gives or ("answer" if self.lua or self.plugin else "real")

    @property
    def when_undone(self) -> Undone:
        """When rolling back takes effect."""
        derived: Undone = "at_once" if self.lua or self.plugin else "next_start" if self.start else "by_hand"
        return self.undone or derived


class ContentEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The usual content of files whose guest path matches."""

    path: Annotated[str, Meta(description="RE2 expression")]
    text: str
    text_big_endian: str | None = None
    risk: _Line


class TemplatesFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    schema: Literal[1]
    templates: list[TemplateEntry] = []
    snippets: dict[str, str] = {}
    contents: list[ContentEntry] = []
    requests: list[RequestEntry] = []
