"""The templates of rules: YAML files with Lua text in which `@name@` stands for a Lua literal.

They are read from the shipped `rules/templates` and then from `templates/` of the directories with a person's
own knowledge base files; a template, snippet or content of the same name in a later directory replaces the
earlier one, visibly. What has a mistake is left out, and said. The format is described in
docs/knowledge-base.md, and by a JSON Schema.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.diagnosis.knowledge_base.documents import BadDocumentError, Document, read_document
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake
from triage_tui.diagnosis.matchers import choose, compile_regex
from triage_tui.errors import TriageError
from triage_tui.proposals import requests
from triage_tui.proposals.requests import RequestEntry
from triage_tui.proposals.template_form import (
    FIELDS,
    LITERALS,
    PLACEHOLDER,
    VARIANTS,
    After,
    ContentEntry,
    Field,
    Gives,
    OnSfemu,
    TemplateEntry,
    TemplatesFile,
    Undone,
)
from triage_tui.resources import shipped
from triage_tui.rule_places import origin, user_directories
from triage_tui.rulebook.plugins.shipped import PLUGINS
from triage_tui.rulebook.start_settings import Setting
from triage_tui.runs.diagnosis_model import Risk

DIRECTORY = "templates"
"""Below a directory of the knowledge base."""
MAX_FILES = 100
MAX_TEMPLATES = 500


class Template(msgspec.Struct, frozen=True):
    """One way to turn a hypothesis into rule files."""

    id: str
    title: str
    intent: str
    effect: str
    risk: Risk
    risk_text: str
    inverse: str
    hit_limit: int
    observe: bool = False
    needs_input: str | None = None
    operations: frozenset[str] = frozenset()
    """Operations of the subject that the template can handle; empty is all."""
    syscalls: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    path: Any = None
    """What the absolute guest path must match, None for any."""
    options: tuple[tuple[int, int, int], ...] = ()
    """Level, first and last number of the socket options that it is for; empty is all."""
    hooks: tuple[str, ...] = ()
    about: tuple[Field, ...] = FIELDS
    """Calls that the rule is for; empty: those that failed."""
    gives: Gives = "answer"
    undone: Undone = "at_once"
    after: tuple[After, ...] = ()
    """Templates that it stands behind, see `ranking`."""
    on_sfemu: OnSfemu | None = None
    """What is said of it where SFEmu runs the rule."""
    parameters: tuple[str, ...] = ()
    """Parameters without which it cannot be built."""
    at: str = "syscalls"
    """The parameter that names the calls to hook, with commas between them."""
    unless: tuple[str, ...] = ()
    """Parameters with which a better one can be built."""
    uses: tuple[str, ...] = ()
    lua: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Operation (or "default", "with_path") -> Lua text."""
    start: Mapping[Setting, str] = msgspec.field(default_factory=dict)
    """Setting of the start -> the text that a rule for it has below its header."""
    plugin: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Plugin -> the text that a rule which configures it has below its header."""
    file: str = ""
    line: int = 0

    def there(self) -> Template:
        """Return what it is where SFEmu runs the rule: what stays there is removed by hand."""
        other = self.on_sfemu
        if other is None:
            return self
        effect = other.effect or self.effect
        return msgspec.structs.replace(self, effect=effect, inverse=other.inverse, undone="by_hand")

    @property
    def origin(self) -> str:
        """Its file where that is a person's own, the home directory as ~; "" for one that shipped."""
        return "" if Path(self.file).parent == shipped("rules") / DIRECTORY else origin(self.file)


class KnownContent(msgspec.Struct, frozen=True):
    """The usual content of files whose path matches."""

    path: Any
    text: str
    risk: str
    text_big_endian: str | None = None
    """What it is on a big-endian machine, where that is something else."""


class Library(msgspec.Struct):
    """All templates, shared Lua snippets and known file contents."""

    templates: dict[str, Template] = msgspec.field(default_factory=dict)
    snippets: dict[str, str] = msgspec.field(default_factory=dict)
    contents: list[KnownContent] = msgspec.field(default_factory=list)
    """A person's own come first."""
    requests: list[RequestEntry] = msgspec.field(default_factory=list)
    """A person's own come first."""
    files: list[str] = msgspec.field(default_factory=list)
    overridden: list[str] = msgspec.field(default_factory=list)
    """One sentence for each template or snippet that a person's file replaced."""
    mistakes: list[Mistake] = msgspec.field(default_factory=list)
    """What is wrong with the files; templates with mistakes are not among `templates`."""


def load_library(directories: Sequence[Path] | None = None) -> Library:
    """Load the shipped templates, and then those below `directories`: by default a person's own.

    Files are read again when they changed. What a person's files have of mistakes is in `mistakes`.

    Raises:
        TriageError: the first mistake in what shipped, with file, line and template.
    """
    library = read_templates(directories if directories is not None else map(Path, user_directories()))
    own = str(shipped("rules") / DIRECTORY)
    for mistake in library.mistakes:
        if os.path.dirname(mistake.file) == own:
            raise TriageError(mistake.sentence())
    return library


def template_files(place: Path, mistakes: list[Mistake]) -> list[Path]:
    """Return the files with templates below a directory of the knowledge base, sorted."""
    directory = place / DIRECTORY
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".yaml"))
    except FileNotFoundError:
        return []
    except OSError as error:
        mistakes.append(Mistake(file=str(directory), line=0, what=f"it cannot be read: {error.strerror}"))
        return []
    if len(names) > MAX_FILES:
        what = f"it holds {len(names)} files, and only the first {MAX_FILES} are read"
        mistakes.append(Mistake(file=str(directory), line=0, what=what, do="put them into fewer files"))
    return [directory / name for name in names[:MAX_FILES]]


def _stamp(place: str) -> tuple[tuple[str, int, int, int], ...]:
    found = []
    for path in template_files(Path(place), []):
        try:
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append((str(path), 0, 0, -1))
    return tuple(found)


@lru_cache(maxsize=4)
def _load(places: tuple[str, ...], _stamps: object) -> Library:
    library = Library()
    for number, place in enumerate(places):
        earlier, library.requests = library.requests, []
        own: list[KnownContent] = []
        for path in template_files(Path(place), library.mistakes):
            add_file(library, path, own, bounded=number > 0)
        library.contents[:0] = own
        library.requests += earlier
    _check_uses(library)
    return library


def add_file(library: Library, path: Path, contents: list[KnownContent], *, bounded: bool = True) -> None:
    """Add what a file holds to a library; its mistakes are among those of the library."""
    library.files.append(str(path))
    try:
        document, _ = read_document(path, bounded=bounded)
    except BadDocumentError as error:
        library.mistakes.append(error.mistake)
        return

    def tell(key: str, what: str, do: str = "", entry: str = "") -> None:
        place = document.line(key)
        library.mistakes.append(Mistake(file=str(path), line=place, entry=entry, key=key, what=what, do=do))

    known = TemplatesFile.__struct_fields__
    for key in sorted(set(map(str, document.data)) - set(known)):
        tell(key, "there is no such key", choose(key, known))
    for index, raw in enumerate(_list(document, "templates", tell)):
        template = _template(raw, f"templates[{index}]", document, tell)
        if template is not None:
            _add(library, template, tell, f"templates[{index}].id")
    snippets = document.data.get("snippets", {})
    if not isinstance(snippets, dict):
        tell("snippets", "must be a mapping of names to Lua text")
        snippets = {}
    for name, text in snippets.items():
        if not isinstance(name, str) or not isinstance(text, str):
            tell("snippets", "must be a mapping of names to Lua text")
            continue
        if name in library.snippets:
            library.overridden.append(f"{path} replaces snippet {name}")
        library.snippets[name] = text
    for index, raw in enumerate(_list(document, "contents", tell)):
        try:
            entry = msgspec.convert(raw, ContentEntry)
        except (msgspec.ValidationError, RecursionError) as error:
            tell(f"contents[{index}]", _told(error))
            continue
        if (path_of := compile_regex(entry.path, f"contents[{index}].path", tell)) is not None:
            contents.append(KnownContent(path_of, entry.text, entry.risk, entry.text_big_endian))
    for index, raw in enumerate(_list(document, "requests", tell)):
        request = _request(raw, f"requests[{index}]", tell)
        if request is not None:
            library.requests.append(request)


def _request(raw: object, key: str, tell: Any) -> RequestEntry | None:
    identity = str(raw.get("name", "?"))[:80] if isinstance(raw, dict) else ""
    try:
        entry = msgspec.convert(raw, RequestEntry)
    except (msgspec.ValidationError, RecursionError) as error:
        tell(key, _told(error), entry=identity)
        return None
    found = list(requests.problems(entry))
    for inner, what in found:
        tell(f"{key}.{inner}", what, entry=identity)
    return None if found else entry


def _list(document: Document, name: str, tell: Any) -> Iterable[object]:
    value = document.data.get(name, [])
    if not isinstance(value, list):
        tell(name, "must be a list")
        return []
    if len(value) > MAX_TEMPLATES:
        tell(name, f"only the first {MAX_TEMPLATES} are read")
    return value[:MAX_TEMPLATES]


def _told(error: Exception) -> str:
    """Return what is wrong in the words of this program: no type names of Python."""
    text = str(error)
    for theirs, ours in (
        ("Expected `str`", "needs a text"), ("Expected `int`", "needs a whole number"),
        ("Expected `bool`", "needs true or false"), ("Expected `array`", "needs a list"),
        ("Expected `object`", "needs a mapping"), ("Object missing required field", "lacks the key"),
        ("Object contains unknown field", "has an unknown key"),
    ):  # fmt: skip
        text = text.replace(theirs, ours)
    return text.partition(" - at ")[0]


def _template(raw: object, key: str, document: Document, tell: Any) -> Template | None:
    identity = str(raw.get("id", "?"))[:80] if isinstance(raw, dict) else ""
    try:
        entry = msgspec.convert(raw, TemplateEntry)
    except (msgspec.ValidationError, RecursionError) as error:
        inner = str(error).rpartition(" - at `$")[2].rstrip("`") if " - at `$" in str(error) else ""
        tell(f"{key}{inner}", _told(error), entry=identity)
        return None
    problems = list(_problems(entry))
    for inner, what, do in problems:
        tell(f"{key}.{inner}", what, do, identity)
    where = entry.requires.path
    path = compile_regex(where, f"{key}.requires.path", tell) if where else None
    if problems or (where and path is None):
        return None
    return Template(
        **{
            name: getattr(entry, name)
            for name in (
                "id", "title", "intent", "effect", "risk", "risk_text", "inverse", "hit_limit", "observe",
                "needs_input", "lua", "start", "plugin", "at", "on_sfemu",
            )
        },
        gives=entry.given,
        undone=entry.when_undone,
        after=tuple(entry.after),
        operations=frozenset(entry.requires.operation),
        syscalls=frozenset(entry.requires.syscalls),
        errors=frozenset(entry.requires.errno),
        path=path,
        options=tuple(_numbers(one) for one in entry.requires.options),
        hooks=tuple(entry.hooks),
        about=tuple(entry.fields),
        parameters=tuple(entry.parameters),
        unless=tuple(entry.unless),
        uses=tuple(entry.uses),
        file=str(document.path),
        line=document.line(key),
    )  # fmt: skip


def _numbers(text: str) -> tuple[int, int, int]:
    level, first, last = map(int, text.replace("-", ":").split(":"))
    return level, first, last


def _problems(entry: TemplateEntry) -> Iterable[tuple[str, str, str]]:
    """Give key, what is wrong, and what to do, of a template whose form is right."""
    for variant, text in entry.lua.items():
        if variant not in VARIANTS:
            yield f"lua.{variant}", f"there is no kind of call {variant!r}", choose(variant, VARIANTS)
        for match in PLACEHOLDER.finditer(text):
            if match[1] not in LITERALS:
                yield f"lua.{variant}", f"@{match[1]}@ stands for nothing", choose(match[1], LITERALS)

    tables = [(f"start.{name}", text) for name, text in entry.start.items()]
    for name, text in entry.plugin.items():
        if name not in PLUGINS:
            yield f"plugin.{name}", f"there is no plugin {name!r}", choose(name, PLUGINS)
        tables.append((f"plugin.{name}", text))
    for inner, text in tables:
        for match in PLACEHOLDER.finditer(text):
            if match[1] not in LITERALS:
                yield inner, f"@{match[1]}@ stands for nothing", choose(match[1], LITERALS)


def broken_lua(library: Library) -> list[Mistake]:
    """Return a mistake for each text of a person's templates that the Lua compiler refuses.

    Raises:
        TriageError: the rule host, which compiles them, cannot be started.
    """
    from triage_tui.rulehost.check import check_syntax

    own = [one for one in library.templates.values() if one.origin]
    texts = [(one, variant, text) for one in own for variant, text in one.lua.items()]
    sources = [
        (variant, PLACEHOLDER.sub('""', text.replace("@only_from@", "")).encode("utf-8", "replace"))
        for _, variant, text in texts
    ]
    found = check_syntax(sources) if sources else []
    return [
        Mistake(file=one.file, line=one.line, entry=one.id, key=f"lua.{variant}", what=f"is no Lua: {why}")
        for (one, variant, _), why in zip(texts, found, strict=True)
        if why is not None
    ]


def _add(library: Library, template: Template, tell: Any, key: str) -> None:
    earlier = library.templates.get(template.id)
    if earlier is not None and Path(earlier.file).parent == Path(template.file).parent:
        place = f"{earlier.file}:{earlier.line}"
        tell(key, f"the same id is used in {place}", "give one of them another", template.id)
        return
    if earlier is not None:
        library.overridden.append(f"{template.file} replaces template {template.id} of {earlier.file}")
    library.templates[template.id] = template


def _check_uses(library: Library) -> None:
    """Leave out templates that use a snippet which is nowhere."""
    for template in list(library.templates.values()):
        for name in template.uses:
            if name not in library.snippets:
                what = f"there is no snippet {name!r}"
                library.mistakes.append(
                    Mistake(
                        file=template.file, line=template.line, entry=template.id, key="uses", what=what,
                        do=choose(name, library.snippets),
                    )
                )  # fmt: skip
                library.templates.pop(template.id, None)


def read_templates(directories: Iterable[Path]) -> Library:
    """Return the templates of what shipped and of a person's directories, whatever is wrong with them."""
    places = (str(shipped("rules")), *map(str, directories))
    return _load(places, tuple(_stamp(place) for place in places))


def templates_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file with templates, kept in docs/schemas."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui rule templates",
        **msgspec.json.schema(TemplatesFile),
    }
