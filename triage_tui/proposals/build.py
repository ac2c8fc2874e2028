"""Write the rule files that could get a program past its failure, and say what each one costs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from triage_tui.diagnosis.calls import OPERATIONS, PATH_ARGUMENT
from triage_tui.proposals.callers import caller_of
from triage_tui.proposals.evidence import evidence_line
from triage_tui.proposals.parameters import literals
from triage_tui.proposals.ranking import Candidate, rank
from triage_tui.proposals.start_values import start_literals
from triage_tui.proposals.table_rules import plugin_texts, start_names, start_texts
from triage_tui.proposals.template_form import CALLS, PLACEHOLDER, VARIANTS
from triage_tui.proposals.templates import Library, Template, load_library
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.explain import parse_match
from triage_tui.rulebook.evidence import EVIDENCE
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.runs.completeness import SFEMU
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis, Proposal
from triage_tui.runs.files import inside, write_atomic
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

MIN_CONFIDENCE = 0.25
"""Hypotheses below this get no rule that changes anything."""

MAX_PROPOSALS = 12
PATCH_DIRECTORY = "rules_patch"

WORTH = 0.4
"""Share of the best hypothesis's confidence that another one needs for the same."""

_NOT_BY_CALLS = frozenset(("arguments",))
"""Causes that no call shows more of: what a program makes of its command line it does by itself."""

_SYSCALL = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_ONLY_FROM = re.compile(r"^([ \t]*)@only_from@\n", re.MULTILINE)
"""A line that becomes the test of the caller, where a rule is limited to one."""
_WORD = re.compile(r"\{([a-z_]+)\}")


class _Rule(msgspec.Struct, frozen=True):
    """One rule file in the making."""

    name: str
    text: str


def propose(run: Run, diagnosis: Diagnosis, library: Library | None = None) -> list[Proposal]:
    """Write rule files for `diagnosis` below `rules_patch/` and return the proposals, best first.

    A healthy program gets none. Files written for an earlier diagnosis of the run are replaced or left; the
    proposals name the ones that count.
    """
    if diagnosis.healthy:
        return []
    library = library or load_library()
    found: list[Proposal] = []
    enough = max(
        MIN_CONFIDENCE, WORTH * max((entry.confidence for entry in diagnosis.hypotheses), default=0.0)
    )
    for index, hypothesis in enumerate(diagnosis.hypotheses):
        candidates: list[Candidate] = []
        for name in hypothesis.proposals:
            template = library.templates.get(name)
            if template is None or (not template.observe and hypothesis.confidence < enough):
                continue
            candidate = _build(run, index, hypothesis, template, library)
            known = [*found, *(one.proposal for one in candidates)]
            if candidate is not None and not _known(candidate.proposal, known):
                candidates.append(candidate)
        found += rank(candidates)
    if not any(proposal.observe_only for proposal in found):
        watch = _watch_last_calls(run, diagnosis, library)
        found += [watch.proposal] if watch is not None else []
    return found[:MAX_PROPOSALS]


def rule_texts(run: Run, hypothesis: Hypothesis, template: Template, library: Library) -> dict[str, str]:
    """Return the rule files of one template for one hypothesis, name to text; nothing is written."""
    code, words, _ = literals(run, hypothesis, library)
    names = _syscalls(hypothesis, template)
    words.setdefault("syscalls", ", ".join(names))
    rules = [_rule(run, hypothesis, template, name, code, words, None, library) for name in names]
    return {rule.name: rule.text for rule in rules if rule is not None}


def propose_one(run: Run, index: int, hypothesis: Hypothesis, name: str) -> Proposal | None:
    """Write the rule files of the template `name` for one hypothesis; None when it does not fit.

    Raises:
        TriageError: the templates have a mistake.
    """
    library = load_library()
    template = library.templates.get(name)
    found = _build(run, index, hypothesis, template, library) if template is not None else None
    return found.proposal if found is not None else None


def _known(proposal: Proposal, found: list[Proposal]) -> bool:
    return any(
        (other.files == proposal.files and proposal.files) or other.id == proposal.id for other in found
    )


def _words(template: str, words: Mapping[str, str]) -> str:
    """Fill `{name}` in a template's own text; the values are printable already."""
    return safe_line(_WORD.sub(lambda match: words.get(match[1], "it"), template), 600)


def _syscalls(hypothesis: Hypothesis, template: Template) -> list[str]:
    """Return the calls that the rules of a template are for."""
    names = [name.lower() for name in hypothesis.parameters.get(template.at, "").split(",")]
    wanted = template.syscalls
    found = [name for name in names if _SYSCALL.fullmatch(name) and (not wanted or name in wanted)]
    return list(template.hooks) if template.hooks and found else found


def _build(
    run: Run, index: int, hypothesis: Hypothesis, template: Template, library: Library
) -> Candidate | None:
    """Return the proposal of one template for one hypothesis, None when the template does not fit."""
    if run.snapshot.engine.name == SFEMU:
        template = template.there()
    code, words, needs = literals(run, hypothesis, library)
    of_start = start_literals(run, hypothesis, start_names(template))
    code |= of_start
    words |= {
        name: ", ".join(one.strip('"') for one in value.split(", "))
        for name, value in of_start.items()
        if name not in words
    }
    known = set(code) | {name for name, value in words.items() if value}
    operation = hypothesis.parameters.get("operation", "getid" if hypothesis.entry == "not-root" else "")
    if template.operations and operation not in template.operations:
        return None
    if template.errors and hypothesis.parameters.get("errno") not in template.errors:
        return None
    if template.path is not None and not template.path.search(hypothesis.parameters.get("absolute", "")):
        return None
    if template.options and not _is_option(template, code):
        return None
    if any(name not in known for name in template.parameters) or not known.isdisjoint(template.unless):
        return None
    names = _syscalls(hypothesis, template)
    words.setdefault("syscalls", ", ".join(names))
    if template.lua and not names:
        return None
    if template.needs_input is not None:
        needs = _words(template.needs_input, words)
    elif "content" not in template.parameters:
        needs = None
    rules = (
        [_rule(run, hypothesis, template, name, code, words, needs, library) for name in names]
        if template.lua
        else []
    )
    start = start_texts(template, code)
    plugins = plugin_texts(template, code)
    if start is None or plugins is None:
        return None
    if any(one.wanted for one in (*start, *plugins)):
        needs = "fill in " + "; ".join(one.wanted for one in (*start, *plugins) if one.wanted)
    for one in (*start, *plugins):
        is_plugin = one in plugins
        call = names[0] if names and is_plugin else ""
        header = _header(run, hypothesis, template, one.identity, words, one.wanted, call, asked=is_plugin)
        rules.append(_Rule(one.name, f"{header}\n{one.body}"))
    files = [rule.name for rule in rules if rule is not None]
    if (template.lua or template.start or template.plugin) and not files:
        return None
    for rule in rules:
        if rule is not None:
            write_atomic(inside(run.dir, f"{PATCH_DIRECTORY}/{rule.name}"), rule.text)
    digest = hashlib.sha256(f"{template.id}\0{sorted(hypothesis.parameters.items())}".encode()).hexdigest()[
        :8
    ]
    proposal = Proposal(
        id=f"{template.id.replace('_', '-')}-{digest}",
        hypothesis=index,
        template=template.id,
        title=_words(template.title, words),
        intent=_words(template.intent, words),
        effect=_words(template.effect, words),
        risk=template.risk,
        risk_text=_words(template.risk_text, words),
        inverse=_words(template.inverse, words),
        files=files,
        hit_limit=template.hit_limit,
        needs_input=needs,
        observe_only=template.observe,
        origin=safe_line(template.origin, 300),
    )
    calls = _calls_of([rule.text for rule in rules if rule is not None], run)
    return Candidate(proposal, template.gives, template.undone, calls, template.after)


def _calls_of(texts: Iterable[str], run: Run) -> int:
    """Return the number of recorded calls that rules are for by their headers, or may be for."""
    headers = [rulefile.parse(text.encode("utf-8", "surrogateescape")).header for text in texts]
    matches = [match for header in headers if (match := parse_match(header.match or "")) is not None]
    return sum(any(one.holds(call) is not False for one in matches) for call in run.snapshot.recent_syscalls)


def _is_option(template: Template, code: Mapping[str, str]) -> bool:
    """Tell whether the socket option that failed is one that the template is for."""
    level, option = code.get("level", ""), code.get("option", "")
    return bool(level and option) and any(
        int(level) == place and first <= int(option) <= last for place, first, last in template.options
    )


def _variant(template: Template, syscall: str, code: Mapping[str, str]) -> str | None:
    """Return the Lua text of `template` for one syscall."""
    if OPERATIONS.get(syscall) == "open" and "open" in template.lua:
        return template.lua["open"]
    for special in (syscall, CALLS.get(syscall, "")):
        if special in template.lua and special in VARIANTS:
            return template.lua[special]
    if "with_path" in template.lua and syscall in PATH_ARGUMENT and "path" in code:
        return template.lua["with_path"]
    return template.lua.get("default")


def _rule(
    run: Run,
    hypothesis: Hypothesis,
    template: Template,
    syscall: str,
    code: Mapping[str, str],
    words: Mapping[str, str],
    needs: str | None,
    library: Library,
) -> _Rule | None:
    """Return the rule file of one template for one syscall, None when it needs what is not known."""
    body = _variant(template, syscall, code)
    if body is None:
        return None
    values = dict(code)
    if syscall in PATH_ARGUMENT:
        place = PATH_ARGUMENT[syscall] + 1
        values["path_argument"], values["flags_argument"] = f"a{place}", f"a{place + 1}"
        values["path_number"] = str(place)
        if syscall == "creat":
            values["flags_argument"] = "1"
    match = _match(syscall, template, hypothesis, words)
    caller = caller_of(run, hypothesis, match) if _ONLY_FROM.search(body) else None
    if caller is not None:
        match = f"{match} from={'!'.join(caller)}"
        module, function = (lua_string(name.encode()) for name in caller)
        check = f"if not c_called_from({module}, {function}) then return 0, 0 end"
        body = _ONLY_FROM.sub(lambda line: f"{line[1]}{check}\n", body)
    body = _ONLY_FROM.sub("", body)
    if any(match[1] not in values for match in PLACEHOLDER.finditer(body)):
        return None
    text = PLACEHOLDER.sub(lambda match: values[match[1]], body)
    # A snippet is defined before the text that calls it.
    snippets = [library.snippets[name] for name in template.uses if f"{name}(" in text]
    text = "\n".join([*snippets, text])
    kind = "observe" if template.observe else "fix"
    digest = hashlib.sha256(f"{run.run_id}\0{syscall}\0{text}".encode()).hexdigest()[:8]
    identity = f"{kind}-{syscall[:40]}-{digest}"
    header = _header(run, hypothesis, template, identity, words, needs, syscall, match=match)
    return _Rule(f"{kind}/syscall/{syscall}@{identity}.lua", f"{header}\n{text.strip()}\n")


def _header(
    run: Run,
    hypothesis: Hypothesis,
    template: Template,
    identity: str,
    words: Mapping[str, str],
    needs: str | None,
    syscall: str = "",
    asked: bool = False,
    match: str = "",
) -> str:
    """Return the header of a rule file; `syscall` is its call. A plugin is `asked` about others too."""
    calls = {"match": match or _match(syscall, template, hypothesis, words)} if syscall else {}
    if syscall or asked:
        calls["hit-limit"] = str(template.hit_limit or "none")
    header = {
        "id": identity,
        "run": run.run_id,
        "target": run.snapshot.target.target_id or run.snapshot.target.program_sha256 or "unknown",
        "intent": _words(template.intent, words),
        **calls,
        "effect": _words(template.effect, words),
        "risk": template.risk,
        "inverse": _words(template.inverse, words),
        "template": template.id,
    }
    if evidence := evidence_line(run, hypothesis, syscall):
        header[EVIDENCE] = evidence
    if needs:
        header["needs-input"] = needs
    lines = ["-- triage-rule: 1", *(f"-- {key}: {safe_line(value, 900)}" for key, value in header.items())]
    return "\n".join(lines) + "\n"


def _match(syscall: str, template: Template, hypothesis: Hypothesis, words: Mapping[str, str]) -> str:
    """Return in words which calls the rule is about."""
    given = dict(hypothesis.parameters)
    if "answers" in template.parameters:
        given["request"] = words.get("match_request", "")
    keys = [name for name in template.about if given.get(name)]
    return " ".join([syscall, *(f"{name}={safe_line(given[name], 200)}" for name in keys)])


def _watch_last_calls(run: Run, diagnosis: Diagnosis, library: Library) -> Candidate | None:
    """Return a proposal that only watches the calls before the end, for causes that name no syscall."""
    template = library.templates.get("observe_calls")
    if template is None or not diagnosis.hypotheses or diagnosis.hypotheses[0].cause in _NOT_BY_CALLS:
        return None
    quiet = {
        "close",
        "munmap",
        "mmap",
        "mmap2",
        "brk",
        "exit_group",
        "exit",
        "rt_sigaction",
        "rt_sigprocmask",
        "write",
    }
    last = [
        call.name.lower() for call in run.snapshot.recent_syscalls[-24:] if call.name.lower() not in quiet
    ]
    names = list(dict.fromkeys(reversed(last)))[:3]
    if not names:
        return None
    first = diagnosis.hypotheses[0]
    watched = Hypothesis(
        cause=first.cause,
        proximate=first.proximate,
        confidence=first.confidence,
        title=first.title,
        parameters={"syscalls": ",".join(names)},
    )
    return _build(run, 0, watched, template, library)
