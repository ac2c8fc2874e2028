"""The memory pane over whole kept regions: paging, going to an address, links, what was not kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from tests.ui.kept_run import HEAP, HEAP_SIZE, STACK, TEXT, heap_byte, make_kept_run
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.memory_windows import ASKED_TAG, keep_windows
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.addresses import find_place
from triage_tui.ui.app import TriageApp
from triage_tui.ui.kept_memory import KEPT_PAGES, PAGE, MemoryPages, segment_at, segments_of
from triage_tui.ui.loading import load_view
from triage_tui.ui.memory_objects import ObjectSection
from triage_tui.ui.memory_rows import MemoryRows
from triage_tui.ui.memory_sections import At, RegionSection
from triage_tui.ui.panes.memory import MemoryPane
from triage_tui.ui.run_view import RunView
from triage_tui.ui.threads import threads_of


@pytest.fixture
def kept(tmp_path: Path) -> RunView:
    return load_view(make_kept_run(tmp_path / "ai_runs", tmp_path / "root"), tmp_path)


@pytest.fixture
def kept_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TriageApp:
    make_kept_run(tmp_path / "demo" / "ai_runs", tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    return TriageApp(Path("demo"))


def at(pane: MemoryPane) -> int:
    assert pane.current is not None
    assert isinstance(pane.current.target, At)
    return pane.current.target.address


def bytes_shown(pane: MemoryPane) -> str:
    assert pane.current is not None
    return pane.current.text


def test_segments_tell_what_a_region_is_made_of() -> None:
    region = MemoryRegion(
        pid=1,
        start=0x1000,
        end=0x9000,
        perms="rw-",
        name="x",
        extents=[MemoryExtent(0x2000, 0x1000, 0), MemoryExtent(0x6000, 0x1000, 0x1000)],
        files=[FileExtent(0x3000, 0x1000, "/lib/a", 0x400, "")],
    )
    found = segments_of(region)
    assert [(one.addr, one.size, one.kind) for one in found] == [
        (0x1000, 0x1000, "zero"),
        (0x2000, 0x1000, "kept"),
        (0x3000, 0x1000, "file"),
        (0x4000, 0x2000, "zero"),
        (0x6000, 0x1000, "kept"),
        (0x7000, 0x2000, "zero"),
    ]
    assert segment_at(found, 0x3FFF) == 2
    assert segment_at(found, 0xFFF) is None
    assert segment_at(found, 0x9000) is None
    region.missing = "the disk was full"
    assert {one.kind for one in segments_of(region)} == {"missing", "kept", "file"}


def test_an_index_that_no_writer_makes_is_laid_out_within_bounds() -> None:
    huge = 1 << 70
    odd = [MemoryExtent(-5, 10, 0), MemoryExtent(0x2000, 0x4000, 0), MemoryExtent(0x3000, huge, huge)]
    regions = [
        MemoryRegion(pid=1, start=-huge, end=huge, perms="\x1b[31m", name="\x1b[2J", extents=odd),
        MemoryRegion(pid=1, start=huge, end=0, perms="", name=""),
        MemoryRegion(pid=1, start=0x1000, end=0x1000, perms="", name="", extents=odd),
    ]
    pages = MemoryPages([])
    rows = MemoryRows([], [RegionSection(number, region, pages) for number, region in enumerate(regions)])
    for width in (20, 80, 200):
        rows.layout(width)
        assert 0 < len(rows) < sys.maxsize
        for index in [*range(min(len(rows), 50)), len(rows) - 1]:
            assert rows.row(index).text.isprintable()
    for region in regions:
        ends = [one.addr + one.size for one in segments_of(region)]
        assert ends == sorted(ends)


def test_pages_are_read_only_when_wanted_and_few_are_remembered(kept: RunView) -> None:
    pages = MemoryPages(kept.run.region_readers())
    heap = segments_of(kept.snapshot.memory_regions[0])[0]
    assert pages.peek(0, heap, HEAP + 5, 4) is None
    assert pages.wanting
    wanted = pages.take_wanted()
    assert wanted == {(0, HEAP): PAGE}
    pages.keep(pages.read(wanted))
    assert pages.peek(0, heap, HEAP + 5, 4) == bytes(map(heap_byte, range(5, 9)))
    assert pages.peek(0, heap, HEAP + PAGE - 2, 4) is None, "the next page is another one"
    pages.keep({(9, number): b"x" for number in range(KEPT_PAGES)})
    assert pages.peek(0, heap, HEAP + 5, 4) is None, "it was forgotten"


def test_bytes_that_were_changed_since_are_not_shown(kept: RunView) -> None:
    file = kept.run.dir / kept.snapshot.memory_regions[0].file
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    pages = MemoryPages(kept.run.region_readers())
    heap = segments_of(kept.snapshot.memory_regions[0])[0]
    pages.peek(0, heap, HEAP, 4)
    pages.keep(pages.read(pages.take_wanted()))
    found = pages.peek(0, heap, HEAP, 4)
    assert isinstance(found, str)
    assert "was changed after it was recorded" in found


def test_a_file_that_the_memory_was_the_same_as_is_compared_again_when_it_changes(
    kept: RunView, tmp_path: Path
) -> None:
    reader = kept.run.region_readers()[1]
    assert reader.read(TEXT + 16, 2) == bytes([48, 51])
    assert reader.read(TEXT + 4096, 1) == bytes([0])
    (tmp_path / "root/lib/libkept.so").write_bytes(b"another file" * 1000)
    with pytest.raises(TriageError, match="is another one now"):
        reader.read(TEXT + 16, 2)


@pytest.mark.parametrize(
    ("text", "pid", "address"),
    [
        ("500000", None, 0x500000),
        (" 0x500000 ", None, 0x500000),
        ("7@500000", 7, 0x500000),
        ("sp", None, 0x7F8FFC40),
        ("SP", None, 0x7F8FFC40),
        ("sp+20", None, 0x7F8FFC60),
        ("sp - 0x40", None, 0x7F8FFC00),
        ("0xa0", None, 0xA0),
        ("_exit", None, 0x77E4B2A0),
        ("_exit+30", None, 0x77E4B2D0),
        ("libkept.so", None, TEXT),
        ("libkept.so+123", None, TEXT + 0x123),
        ("/lib/libkept.so+0x10", None, TEXT + 0x10),
        ("[heap]+10", None, HEAP + 16),
    ],
)
def test_what_a_person_types_becomes_an_address(
    kept: RunView, text: str, pid: int | None, address: int
) -> None:
    assert find_place(kept.snapshot, text, threads_of(kept.snapshot)[0]) == (pid, address)


def test_registers_are_those_of_the_thread_that_is_shown(kept: RunView) -> None:
    threads = threads_of(kept.snapshot)
    assert find_place(kept.snapshot, "sp", threads[1]) == (None, 0x77D9F000)
    assert find_place(kept.snapshot, "pc+4", threads[3]) == (7, 0x404B1C)
    with pytest.raises(TriageError, match="Nothing in this record is called"):
        find_place(kept.snapshot, "9@sp", threads[0])


@pytest.mark.parametrize(
    "text", ["", " ", "nonsense", "\x1b[31m", "libkept.so+zz", "-5", "1" * 17, "5@", "sp-ffffffffff"]
)
def test_what_is_no_address_is_said_in_one_safe_sentence(kept: RunView, text: str) -> None:
    with pytest.raises(TriageError) as caught:
        find_place(kept.snapshot, text, threads_of(kept.snapshot)[0])
    assert str(caught.value).isprintable()


async def test_g_goes_to_any_kept_byte_and_highlights_it(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("7")
        pane = kept_app.main.query_one(MemoryPane)
        offset = HEAP_SIZE - 21
        await pilot.press("g", *f"{HEAP + offset:x}", "enter")
        await until(pilot, lambda: pane.marked)
        assert kept_app.focused is pane
        await until(
            pilot, lambda: f"{heap_byte(offset):02x}" in bytes_shown(pane) and "…" not in bytes_shown(pane)
        )
        first, end = pane._marks[pane.cursor] or (0, 0)
        assert bytes_shown(pane)[first:end] == f"{heap_byte(offset):02x}"
        assert at(pane) == (HEAP + offset) & ~15
        assert f"{at(pane):08x}" in shown(kept_app)
        assert f"{at(pane):#x} · [heap]" in shown(kept_app)


async def test_page_keys_walk_through_a_region_and_home_and_end_to_the_ends(
    kept_app: TriageApp,
) -> None:
    async with kept_app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *f"{HEAP + 0x100000:x}", "enter")
        pane = kept_app.main.query_one(MemoryPane)
        await until(pilot, lambda: pane.marked)
        before = at(pane)
        await pilot.press("pagedown")
        assert at(pane) > before
        await until(pilot, lambda: "…" not in bytes_shown(pane), "the bytes of the next page")
        expected = " ".join(f"{heap_byte(at(pane) - HEAP + n):02x}" for n in range(8))
        assert expected in bytes_shown(pane)
        await pilot.press("pageup")
        assert at(pane) == before
        await pilot.press("end")
        assert at(pane) == HEAP + HEAP_SIZE - 16
        await pilot.press("home")
        await pilot.pause()
        assert "[heap]" in bytes_shown(pane)
        await pilot.press("home")
        assert pane.cursor == 0
        await pilot.press("end", "end")
        assert pane.cursor == len(pane.rows) - 1
        await until(pilot, lambda: at(pane) == 0x500FF0)


async def test_a_stretch_of_zeros_is_one_row_until_it_is_opened(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *f"{STACK + (1 << 30) - 4096:x}", "enter")
        pane = kept_app.main.query_one(MemoryPane)
        await until(pilot, lambda: pane.marked and "top of the stack" in bytes_shown(pane))
        await pilot.press("k")
        assert "1024 MiB of zeros" in bytes_shown(pane)
        rows = len(pane.rows)
        await pilot.press("g", *f"{STACK + 0x12345:x}", "enter")
        await until(pilot, lambda: len(pane.rows) > rows)
        assert at(pane) == STACK + 0x12340
        assert "00 00 00" in bytes_shown(pane)
        assert pane.marked == [pane.cursor]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("b0000010", "was not kept: it is not readable"),
        ("1", "Nothing is mapped at 0x1"),
        ("c0000000", "The memory at 0xc0000000 (anonymous memory) was not kept."),
        ("9@1000", "This run has no process 9"),
        ("nonsense", "Nothing in this record is called nonsense"),
    ],
)
async def test_an_address_that_was_not_kept_is_told_and_can_be_mended(
    kept_app: TriageApp, typed: str, sentence: str
) -> None:
    async with kept_app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *typed, "enter")
        await until(pilot, lambda: sentence in said(kept_app))
        pane = kept_app.main.query_one(MemoryPane)
        assert pane.cursor == 0
        await pilot.press(*["backspace"] * len(typed), *"7@500000", "enter")
        await until(pilot, lambda: pane.marked and "other" in bytes_shown(pane))


async def test_a_region_without_a_name_has_that_of_its_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_kept_run(tmp_path / "demo" / "ai_runs", tmp_path / "root")
    snapshot = load_run(run_dir).snapshot
    snapshot.memory_regions[2].name = ""
    snapshot.maps.append(
        Mapping(start=STACK, end=STACK + (1 << 30), perms="rw-p", name="[stack of thread 4]")
    )
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    monkeypatch.chdir(tmp_path)
    app = TriageApp(Path("demo"))
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *"[stack of thread 4]", "enter")
        await until(pilot, lambda: f"{STACK:#x} · [stack of thread 4]" in shown(app))


async def test_memory_that_was_not_kept_is_read_from_the_guest_that_waits(
    app: TriageApp, workspace: Path, actions: RecordedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    asked: list[int] = []

    def read_memory(run_id: str, address: int) -> str:
        asked.append(address)
        keep_windows(run_dir, [(address, b"PATH=/bin\0passwd=hunter22\0")], "on demand", ASKED_TAG)
        return "27 bytes were read"

    monkeypatch.setattr(actions, "read_memory", read_memory)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *"gp", "enter")
        await until(pilot, lambda: "50 41 54 48" in shown(app), "its bytes")
        assert asked
        # It is a piece of the record like the others: decoded, and marked where it holds a secret.
        await until(
            pilot, lambda: "PATH=/bin" in shown(app) and "holds what looks like a secret" in shown(app)
        )


async def test_without_kept_memory_the_sentence_says_how_to_get_it(workspace: Path) -> None:
    app = TriageApp(workspace, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *"gp", "enter")
        await until(pilot, lambda: "`triage-tui run --memory full` keeps all" in said(app))
        await pilot.press("escape")
        await pilot.pause()
        assert app.focused is app.main.pane("memory")
        assert not app.main.query("TypedLine")


async def test_an_address_typed_ahead_never_runs_as_commands(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7")
        await kept_app.main.action_go_to_address()
        kept_app.main.pane("memory").focus()
        await pilot.press(*"500010", "enter")
        pane = kept_app.main.query_one(MemoryPane)
        await until(pilot, lambda: pane.marked)
        assert kept_app.main.active == "memory"
        assert at(pane) == HEAP + 16


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_link_into_kept_memory_marks_its_bytes_wherever_they_are(
    kept_app: TriageApp, size: tuple[int, int]
) -> None:
    async with kept_app.run_test(size=size) as pilot:
        await opened(pilot)
        pane = kept_app.main.query_one(MemoryPane)
        kept_app.main.follow(f"ev:mem/0x{HEAP + 0x200000:x}+14:4")
        await until(pilot, lambda: pane.marked)
        await until(pilot, lambda: "…" not in bytes_shown(pane))
        wanted = [f"{heap_byte(0x200000 + 14 + n):02x}" for n in range(4)]
        await until(pilot, lambda: marked_bytes(pane) == wanted)
        kept_app.main.follow("ev:mem/7@0x500000+0:5")
        await until(pilot, lambda: "other" in bytes_shown(pane))
        kept_app.main.follow("ev:mem/ioctl-arg+0:4")
        await until(pilot, lambda: "65 74 68 30" in bytes_shown(pane))


def marked_bytes(pane: MemoryPane) -> list[str]:
    spans = [(row, pane._marks[row] or (0, 0)) for row in pane.marked]
    return " ".join(pane.rows.row(row).text[first:end] for row, (first, end) in spans).split()


async def test_marks_and_cursor_stay_on_their_bytes_when_the_terminal_changes_its_size(
    kept_app: TriageApp,
) -> None:
    wanted = [f"{heap_byte(0x200000 + 14 + n):02x}" for n in range(12)]
    async with kept_app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        pane = kept_app.main.query_one(MemoryPane)
        kept_app.main.follow(f"ev:mem/0x{HEAP + 0x200000:x}+14:12")
        for columns, rows in ((160, 48), (80, 24), (40, 12), (100, 30), (160, 48)):
            await pilot.resize_terminal(columns, rows)
            await until(pilot, lambda: marked_bytes(pane) == wanted)
            place = HEAP + 0x200000 + 14
            assert 0 <= place - at(pane) < 16
            assert pane.scroll_offset.y <= pane.cursor
            if height := pane.scrollable_content_region.height:
                assert pane.cursor < pane.scroll_offset.y + height


def test_rows_of_memory_stand_for_the_same_at_any_width(kept: RunView) -> None:
    pages = MemoryPages(kept.run.region_readers())
    sections = [RegionSection(number, one, pages) for number, one in enumerate(kept.snapshot.memory_regions)]
    rows = MemoryRows([ObjectSection(item) for item in kept.memory], sections)
    rows.layout(80)
    for index in range(0, len(rows), max(1, len(rows) // 500)):
        rows.layout(80)
        target, text = rows.row(index).target, rows.row(index).text
        narrow, _ = rows.relayout(40, index, {})
        back, _ = rows.relayout(80, narrow, {})
        assert (rows.row(back).target, rows.row(back).text) == (target, text)


async def test_backspace_returns_from_an_address(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7", "j", "j", "j")
        pane = kept_app.main.query_one(MemoryPane)
        await pilot.press("g", *"[heap]", "enter")
        await until(pilot, lambda: pane.marked)
        await pilot.press("backspace")
        await until(pilot, lambda: pane.cursor == 3)


async def test_enter_on_a_register_goes_to_the_memory_that_it_points_to(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("6")
        registers = kept_app.main.pane("registers")
        place = registers.rows.find(lambda row: row.target == "gp")
        assert place is not None
        registers.move_to(place)
        await pilot.press("enter")
        await until(pilot, lambda: "The memory at 0x4ab010" in said(kept_app))


async def test_the_place_is_kept_when_the_run_is_read_again(kept_app: TriageApp) -> None:
    async with kept_app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7", "g", *"[heap]+123456", "enter")
        pane = kept_app.main.query_one(MemoryPane)
        await until(pilot, lambda: pane.marked and "…" not in bytes_shown(pane))
        before, view = at(pane), kept_app.main.view
        kept_app.main.load(fixtures.EXIT_RUN)
        await until(pilot, lambda: kept_app.main.view is not view)
        assert at(pane) == before
        assert "…" not in bytes_shown(pane), "what was read of the same regions is still there"
