"""Symbols and imported names of real ELF files, whole and damaged."""

from __future__ import annotations

import random

import pytest

from tests.binary.loaded import ARCH, content, without_sections
from triage_tui.binary import symbols
from triage_tui.binary.symbols import parse_image


@pytest.mark.parametrize("variant", ARCH)
def test_functions_have_names_sizes_and_no_mode_bit(variant: str) -> None:
    image = parse_image(content(variant))
    functions = {s.name: s for s in image.symbols if s.is_function}
    assert {"caller", "inner"} <= set(functions)
    inner, caller = functions["inner"], functions["caller"]
    assert inner.start < inner.end <= caller.start < caller.end
    assert inner.start % 2 == 0
    assert inner.thumb is (variant == "thumb")
    assert image.symbol_at(caller.start + 4) is caller
    assert image.symbol_at(caller.end + 0x4000) is None
    assert image.problem == ""


@pytest.mark.parametrize(("variant", "thumb"), [("arm", False), ("thumb", True)])
def test_instruction_set_of_arm_code_is_known(variant: str, thumb: bool) -> None:
    image = parse_image(content(variant))
    caller = next(s for s in image.symbols if s.name == "caller")
    assert image.thumb_at(caller.start) is thumb


@pytest.mark.parametrize("variant", ARCH)
def test_imported_functions_are_found_at_their_stubs_and_got_words(variant: str) -> None:
    linkage = parse_image(content(variant)).linkage
    assert {"outside", "elsewhere"} <= set(linkage.stubs.values())
    assert {"outside", "elsewhere"} <= set(linkage.got.values())


def test_functions_are_found_without_section_headers_only_by_linkage() -> None:
    image = parse_image(without_sections(content("mipsel")))
    assert image.symbols == []
    assert set(image.linkage.stubs.values()) == {"outside", "elsewhere"}
    assert image.linkage.gp is not None


def test_addresses_and_file_offsets_agree() -> None:
    image = parse_image(content("thumb"))
    for segment in image.segments:
        assert image.vaddr_of_offset(segment.offset) == segment.vaddr
        assert image.segment_at(segment.vaddr) is segment
    assert image.vaddr_of_offset(1 << 40) is None


def test_same_content_is_parsed_once() -> None:
    assert parse_image(content("arm")) is parse_image(bytes(bytearray(content("arm"))))
    assert parse_image(content("arm")) is not parse_image(content("thumb"))


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF" + bytes(60), b"\x7fELF\xff" * 500]
)
def test_what_is_no_elf_file_is_an_image_with_a_problem(data: bytes) -> None:
    image = parse_image(data)
    assert image.symbols == []
    assert "ELF" in image.problem


@pytest.mark.parametrize("variant", ARCH)
def test_damaged_files_never_raise(variant: str) -> None:
    source = random.Random(variant)
    for round_number in range(150):
        data = bytearray(content(variant))
        if round_number % 3 == 0:
            data = data[: source.randrange(len(data))]
        for _ in range(source.choice([1, 4, 40])):
            if data:
                data[source.randrange(len(data))] = source.choice([0, 1, 0x7F, 0xFF, source.randrange(256)])
        image = parse_image(bytes(data))
        assert len(image.symbols) <= symbols.MAX_SYMBOLS
        image.symbol_at(0x200)
        image.thumb_at(0x200)
        image.vaddr_of_offset(0x200)


@pytest.mark.parametrize("variant", ARCH)
def test_every_header_byte_may_be_wrong(variant: str) -> None:
    good = content(variant)
    for at in range(4, 64):
        for value in (0x00, 0x7F, 0xFF):
            data = bytearray(good)
            data[at] = value
            parse_image(bytes(data))


def test_names_are_kept_as_text_whatever_their_bytes_are() -> None:
    data = content("arm").replace(b"caller\0", b"\x1b[31m\xff\0")
    names = {symbol.name for symbol in parse_image(data).symbols}
    assert "\x1b[31m\\xff" in names
