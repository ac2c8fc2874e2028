"""Published rules in a real Lua 5.3 that loads them as SFEmu does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sfemu.loader import Loader
from triage_tui.errors import TriageError
from triage_tui.sfemu import rule_text

USER = "syscall_override_user"
AT = 0x12340


def rule(identity: str, body: str, *more: str) -> bytes:
    lines = ["-- triage-rule: 1", f"-- id: {identity}", *(f"-- {line}" for line in more), "", body]
    return "\n".join(lines).encode() + b"\n"


def answering(identity: str, when: str, ret: str, *more: str) -> bytes:
    body = f"function do_syscall(num, a1)\n  if {when} then return 1, {ret} end\n  return 0, 0\nend"
    return rule(identity, body, *more)


def published(
    rules: Path, *sources: bytes, arch: str = "mipsel", syscall: str = "openat", place: str = USER
) -> Path:
    texts = {f"syscall/{syscall}@r{number}.lua": source for number, source in enumerate(sources)}
    path = rules / place / f"{syscall}.lua"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rule_text.rule_text(syscall, texts, arch, place))
    return path


def theirs(rules: Path, place: str, text: str, syscall: str = "openat") -> None:
    path = rules / place / f"{syscall}.lua"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


ANSWERS = "function do_syscall(num, a1) return {action}, {ret} end\n"


def test_rules_are_asked_in_order_and_the_first_that_answers_wins(tmp_path: Path) -> None:
    first = answering("first", "a1 == 1", "11")
    second = answering("second", "a1 <= 2", "22")
    published(tmp_path, first, second)
    sfemu = Loader(tmp_path)
    assert sfemu.call("openat", 5, 1) == (True, 11)
    assert sfemu.call("openat", 5, 2) == (True, 22)
    assert sfemu.call("openat", 5, 3) == (False, 0)
    assert sfemu.log == []


def test_what_is_hidden_is_asked_when_no_rule_answers(tmp_path: Path) -> None:
    theirs(tmp_path, "syscall", ANSWERS.format(action="a1 == 3", ret="33"))
    theirs(tmp_path, "syscall_override", "kept = __rules_dir\n" + ANSWERS.format(action="a1 == 2", ret="22"))
    published(tmp_path, answering("ours", "a1 == 1", "11"))
    sfemu = Loader(tmp_path)
    assert [sfemu.call("openat", 5, value) for value in (1, 2, 3)] == [(True, 11), (True, 22), (False, 0)]
    # The first file that is there is all that SFEmu itself would have asked.
    baseline_only = Loader(tmp_path, overrides=USER)
    assert [baseline_only.call("openat", 5, value) for value in (1, 2, 3)] == [
        (True, 11),
        (False, 0),
        (True, 33),
    ]


@pytest.mark.parametrize(
    "text",
    ["this is no Lua", "error('at load')", "x = 1", "function do_syscall() error('at call') end", "\x1bLua"],
)
def test_what_is_hidden_and_broken_lets_the_call_pass(tmp_path: Path, text: str) -> None:
    theirs(tmp_path, "syscall", text)
    published(tmp_path, answering("ours", "a1 == 1", "11"))
    sfemu = Loader(tmp_path)
    assert sfemu.call("openat", 5, 1) == (True, 11)
    assert sfemu.call("openat", 5, 2) == (False, 0)
    assert any("openat" in line for line in sfemu.log)


def test_their_rule_is_not_asked_again_behind_its_own_published_text(tmp_path: Path) -> None:
    text = "asked = (asked or 0) + 1\nfunction do_syscall(num, a1)\n  c_log('asked')\n  return 0, 0\nend\n"
    theirs(tmp_path, "syscall_override", text)
    theirs(tmp_path, "syscall", ANSWERS.format(action="1", ret="9"))
    published(tmp_path, text.encode())
    sfemu = Loader(tmp_path)
    # What it hides where it lies stays hidden, as in SFEmu.
    assert sfemu.call("openat", 5) == (False, 0)
    assert sfemu.log == ["asked"]
    # One that lies nowhere hides nothing.
    (tmp_path / "syscall_override" / "openat.lua").unlink()
    assert Loader(tmp_path).call("openat", 5) == (True, 9)


CHAINING = b"""local here = debug.getinfo(1, "S").source:match("@?(.*/)") or ""
local root = here:gsub("syscall_override/?$", "")
local below = setmetatable({}, { __index = _G })
local chunk = loadfile(root .. "syscall/openat.lua", "t", below)
if chunk then chunk() end
function do_syscall(num, a1, ...)
  if a1 == 1 then return 1, 11 end
  if below.do_syscall then return below.do_syscall(num, a1, ...) end
  return 0, 0
end
"""


def test_their_rule_that_loads_what_it_hides_finds_it_and_it_is_asked_once(tmp_path: Path) -> None:
    theirs(tmp_path, "syscall", "function do_syscall(num, a1)\n  c_log('base')\n  return a1 == 2, 22\nend\n")
    published(tmp_path, CHAINING)
    sfemu = Loader(tmp_path)
    assert [sfemu.call("openat", 5, value) for value in (1, 2, 3)] == [(True, 11), (True, 22), (False, 0)]
    assert sfemu.log == ["base", "base"]


def test_a_rule_that_fails_lets_the_call_go_on_and_is_left_out_in_the_end(tmp_path: Path) -> None:
    published(tmp_path, rule("bad", "function do_syscall() error({}) end"), answering("good", "true", "7"))
    sfemu = Loader(tmp_path)
    for _ in range(20):
        assert sfemu.call("openat", 5) == (True, 7)
    assert len(sfemu.log) == 17
    closed = rule("shut", "function do_syscall() error('no') end", "on-failure: closed")
    published(tmp_path, closed)
    assert Loader(tmp_path).call("openat", 5) == (True, -1)


def test_hits_are_counted(tmp_path: Path) -> None:
    changing = rule(
        "twice",
        f"function do_syscall(num, a1)\n  if a1 == 1 then c_write_bytes({AT}, 'x') end\n"
        "  return a1 == 2, 5\nend",
        "hit-limit: 2",
    )
    published(tmp_path, changing)
    sfemu = Loader(tmp_path)
    sfemu.text(AT, b"")
    asked = [sfemu.call("openat", 5, value) for value in (0, 1, 0, 2, 2)]
    assert asked == [(False, 0), (False, 0), (False, 0), (True, 5), (False, 0)]


@pytest.mark.parametrize("ret", ["1.0", "'5'", "nil", "{}"])
def test_what_is_no_integer_is_nothing(tmp_path: Path, ret: str) -> None:
    published(tmp_path, answering("ours", "true", ret))
    assert Loader(tmp_path).call("openat", 5) == (True, 0)


def test_an_order_for_the_emulator_is_no_answer(tmp_path: Path) -> None:
    published(tmp_path, answering("ours", "true", "-512"))
    assert Loader(tmp_path).call("openat", 5) == (False, 0)


@pytest.mark.parametrize("body", ["]] ]=] end", "\r\n\r", "\x1b]52;c;x\x07", "\u202e", "\udcff", "]", "\n\n"])
def test_a_text_is_loaded_as_it_is(tmp_path: Path, body: str) -> None:
    written = f"-- {body}\nfunction do_syscall()\n  return 1, #[==[{body}]==]\nend".encode(
        "utf-8", "surrogateescape"
    )
    source = b"-- triage-rule: 1\n-- id: exact\n\n" + written
    path = published(tmp_path, source)
    sfemu = Loader(tmp_path)
    sfemu.lua.execute(source)
    assert sfemu.call("openat", 5) == (True, sfemu.lua.globals()[b"do_syscall"]()[1])
    assert all(byte in b"\n\t" or byte >= 32 for byte in path.read_bytes())


def test_a_string_may_end_before_a_page_that_is_not_mapped(tmp_path: Path) -> None:
    body = "function do_syscall(num, a1)\n  return c_read_string(a1) == '/etc/x', 3\nend"
    published(tmp_path, rule("ours", body))
    sfemu = Loader(tmp_path)
    sfemu.text(0x80001FF0, b"/etc/x\0")
    # A pointer from 0x80000000 on is negative.
    assert sfemu.call("openat", 5, 0x80001FF0 - (1 << 32)) == (True, 3)
    sfemu.text(0x1FFC, b"/etc")
    sfemu.text(0x2000, b"/x\0")
    assert sfemu.call("openat", 5, 0x1FFC) == (True, 3)
    sfemu.text(0x4FFA, b"/etc/x")
    assert sfemu.call("openat", 5, 0x4FFA) == (False, 0)


def test_the_call_is_made_with_other_arguments_and_its_result_is_seen(tmp_path: Path) -> None:
    other = rule("other", "function do_syscall(num, a1)\n  c_set_arg(2, 99)\n  return 0, 0\nend")
    after = rule(
        "after",
        "function after_syscall(num, ret, a1, a2)\n  if ret == -2 then return 1, a2 end\n  return 0, 0\nend",
    )
    published(tmp_path, other, after)
    sfemu = Loader(tmp_path)
    sfemu.result = lambda *_: -2
    assert sfemu.call("openat", 5, 1, 2, 3) == (True, 99)
    assert sfemu.made == [(5, 1, 99, 3, 0, 0, 0, 0, 0)]
    sfemu.result = lambda *_: -512
    assert sfemu.call("openat", 5, 1, 2, 3) == (True, -512)


def test_what_is_hidden_sees_the_other_arguments(tmp_path: Path) -> None:
    theirs(tmp_path, "syscall", "function do_syscall(num, a1, a2) return 1, a2 end\n")
    published(tmp_path, rule("other", "function do_syscall() c_set_arg(2, 99) return 0, 0 end"))
    sfemu = Loader(tmp_path)
    assert sfemu.call("openat", 5, 1, 2) == (True, 99)
    assert sfemu.made == []


def test_helpers_of_ours_are_there(tmp_path: Path) -> None:
    body = f"""
function do_syscall(num, a1)
  if a1 == 1 then return 1, -c_errno("ECONNREFUSED") end
  if a1 == 2 then local g = c_guest_info() return g.arch == "mips" and g.order == ">" and g.word == 4, 2 end
  if a1 == 3 then return 1, c_write_field({AT}, "stat", "st_mode", 33188) end
  if a1 == 4 then return 1, c_ifreq_set({AT} + 512, "addr", "\\192\\168\\1\\1") end
  if a1 == 5 then c_shared_set("k", a1) return 1, c_shared_get("k") end
  return c_errno("ENONSENSE") == nil and c_write_field({AT}, "stat", "none", 1) == -22, 6
end"""
    published(tmp_path, rule("ours", body), arch="mips")
    sfemu = Loader(tmp_path)
    sfemu.text(AT, b"")
    assert [sfemu.call("openat", 5, value)[1] for value in range(1, 7)] == [-146, 2, 0, 0, 5, 6]
    page = sfemu.memory[AT & ~0xFFF]
    assert (33188).to_bytes(4, "big") in page[AT & 0xFFF :]
    assert bytes(page[(AT & 0xFFF) + 512 + 16 :][:8]) == b"\0\2\0\0\xc0\xa8\1\1"


def test_a_rule_of_ours_has_the_world_of_the_rule_host_and_theirs_has_sfemus(tmp_path: Path) -> None:
    probe = """function do_syscall()
  local seen = (io and 1 or 0) + (os and 2 or 0) + (load and 4 or 0) + (debug and 8 or 0)
  string.format = nil
  return 1, seen
end
"""
    published(tmp_path, rule("ours", probe))
    sfemu = Loader(tmp_path)
    assert sfemu.call("openat", 5) == (True, 0)
    assert sfemu.lua.eval(b"string.format") is not None
    published(tmp_path, probe.encode())
    assert Loader(tmp_path).call("openat", 5) == (True, 15)


def test_a_file_of_ours_that_their_tool_applied_can_be_published_itself(tmp_path: Path) -> None:
    theirs(tmp_path, "syscall", ANSWERS.format(action="a1 == 3", ret="33"))
    applied = published(tmp_path, answering("ours", "a1 == 1", "11"), place="syscall_override").read_bytes()
    # Their tool is given it without the line that says that it is published.
    text = applied.split(b"\n", 2)[2]
    (tmp_path / "syscall_override" / "openat.lua").write_bytes(text)
    published(tmp_path, text)
    sfemu = Loader(tmp_path)
    assert [sfemu.call("openat", 5, value) for value in (1, 2, 3)] == [(True, 11), (False, 0), (True, 33)]


@pytest.mark.parametrize("helper", sorted(rule_text.NOT_THERE))
def test_what_cannot_be_given_is_named(helper: str) -> None:
    with pytest.raises(rule_text.NotRunnable, match=helper):
        rule_text.check_runnable(
            "fix/syscall/openat@x.lua", rule("x", f"function do_syscall() {helper}(1) end"), "arm"
        )


def test_what_depends_on_an_unknown_processor_is_refused() -> None:
    name = "fix/syscall/openat@x.lua"
    rule_text.check_runnable(name, answering("x", "true", '-c_errno("ENOENT")'), "")
    for body in ('-c_errno("ETIMEDOUT")', "-c_errno(a1)", "c_guest_info().word"):
        with pytest.raises(rule_text.NotRunnable, match=r"processor"):
            rule_text.check_runnable(name, answering("x", "true", body), "")
    for other in ("fix/plugin/nvram@x.lua", "fix/start/processor@x.lua"):
        with pytest.raises(rule_text.NotRunnable, match="SFEmu has not"):
            rule_text.check_runnable(other, rule("x", "return {}"), "arm")


def test_what_stays_behind_is_told() -> None:
    (told,) = rule_text.what_differs(rule("x", "function do_syscall() c_provide_file('/x') end"))
    assert "stays in the root that SFEmu runs in, also after a roll back" in told
    (told,) = rule_text.what_differs(b"function do_syscall() os.execute('x') io.open('y') end")
    assert "uses io, os" in told


def test_a_name_is_no_path() -> None:
    with pytest.raises(TriageError, match="no name of a syscall"):
        rule_text.rule_text("../x", {}, "arm", USER)


@pytest.mark.parametrize(("forever", "seen"), [(True, (False, 0)), (False, (True, 11))])
def test_a_file_that_comes_while_sfemu_runs(tmp_path: Path, forever: bool, seen: tuple[bool, int]) -> None:
    """What was not there is not looked for again by version 1, and from version 6 on it is."""
    sfemu = Loader(tmp_path, forever=forever)
    assert sfemu.call("openat", 5, 1) == (False, 0)
    published(tmp_path, answering("ours", "a1 == 1", "11"))
    assert sfemu.call("openat", 5, 1) == seen
