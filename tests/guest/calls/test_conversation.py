"""What a scripted peer answers to what comes, and what it tells of it."""

from __future__ import annotations

import random

import pytest

from triage_tui.guest.calls.conversation import Conversation
from triage_tui.rulehost.peer_script import PeerScript, PeerStep, read_script, reply_to

VERSION = PeerStep("equals", b"version\n", (b"1.2\n",))
GET = PeerStep("starts", b"get ", (b"value of ", (4, 3), b"\n"))
BYE = PeerStep("contains", b"bye", (b"so long",), ends=True)


def talk(script: PeerScript, *pieces: bytes, is_stream: bool = True) -> tuple[list[bytes], list[str]]:
    """Return the answer to each piece up to where the peer hangs up, and what is told."""
    told: list[str] = []
    conversation = Conversation(script, is_stream, told.append)
    answers: list[bytes] = []
    for piece in pieces:
        answer, ends = conversation.respond(piece)
        answers.append(answer)
        if ends:
            break
    return answers, told


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_first_step_that_fits_answers_and_may_hang_up(is_stream: bool) -> None:
    script = PeerScript("cfgd", steps=(VERSION, GET, BYE))
    pieces = (b"get abc", b"version\n", b"nothing", b"well, bye", b"version\n")
    answers, told = talk(script, *pieces, is_stream=is_stream)
    assert answers == [b"value of abc\n", b"1.2\n", b"", b"so long"]
    assert told[2] == "cfgd got 7 bytes 'nothing': no reply fits"
    assert len(told) == 4


def test_an_awaited_text_may_come_in_pieces_and_with_the_next_one() -> None:
    script = PeerScript("cfgd", steps=(VERSION, GET, PeerStep("any", b"", (b"?",))))
    assert talk(script, b"ver", b"sion", b"\nversion\nget xyz")[0] == [b"", b"", b"1.2\n1.2\nvalue of xyz\n"]


def test_messages_of_a_stream_end_at_the_border() -> None:
    script = PeerScript("cfgd", steps=(VERSION, GET), border=b"\n")
    answers, told = talk(script, b"get a", b"bc\nversion\nwhat\nget")
    assert answers == [b"", b"value of abc\n1.2\n"]
    assert [line.rpartition(": ")[2] for line in told] == [
        "reply 2, 13 bytes",
        "reply 1, 4 bytes",
        "no reply fits",
    ]


def test_in_order_only_the_next_step_answers() -> None:
    script = PeerScript("cfgd", steps=(VERSION, PeerStep("any", b"", (b"2",))), ordered=True)
    messages = (b"hello", b"version\n", b"hello", b"hello")
    assert talk(script, *messages, is_stream=False)[0] == [b"", b"1.2\n", b"2", b""]


def test_a_step_may_answer_only_once() -> None:
    first = PeerStep("any", b"", (b"first",), once=True)
    script = PeerScript("cfgd", steps=(first, PeerStep("any", b"", (b"later",))))
    assert talk(script, b"1", b"2", b"3")[0] == [b"first", b"later", b"later"]


def test_only_so_much_is_told_and_nothing_of_it_reaches_a_terminal_as_it_is() -> None:
    script = PeerScript("\x1b[2Jcfgd")
    _, told = talk(script, *[b"\x1b]0;x\x07" * 100] * 200)
    assert len(told) == 65
    assert all(len(line) < 900 and line.isascii() and line.isprintable() for line in told)


def test_what_is_missing_of_an_echo_is_zero() -> None:
    assert reply_to(PeerStep("any", b"", ((2, 4), b"!")), b"abc") == b"c\0\0\0!"


def row(*steps: int | bytes) -> list[int | bytes]:
    return [b"cfgd", b"hello", b"\n", 1, *steps]


def test_a_script_is_read_from_its_row() -> None:
    read = read_script(iter(row(1, b"get ", 1, 2, b"value ", 4, 3, 3, b"", 2, 0)))
    first = PeerStep("starts", b"get ", (b"value ", (4, 3)), once=True)
    assert read == PeerScript("cfgd", b"hello", (first, PeerStep("any", b"", (), ends=True)), True, b"\n")


STEP: list[int | bytes] = [0, b"", 0, 0]
LARGE: list[int | bytes] = [0, b"x" * 65536, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [b"x" * 257, b"", b"", 0],
        row(4, b"", 0, 0),
        row(0, 7, 0, 0),
        row(0, b"", 4, 0),
        row(0, b"", 0, 65),
        row(0, b"", 0, 2, b"x"),
        row(0, b"", 0, 1, -1, 2),
        row(0, b"", 0, 1, 2, 1 << 40),
        [*row(), *STEP * 257],
        [*row(), *LARGE * 5],
    ],
)
def test_what_is_no_script_is_refused(wrong: list[int | bytes]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_script(iter(wrong))


def test_no_script_and_no_message_makes_it_fail() -> None:
    generator = random.Random(7)
    texts = [b"", b"a", b"ab", b"\n", b"abc\n", b"b\n\n"]
    for _ in range(300):
        steps = tuple(
            PeerStep(
                generator.choice(("equals", "starts", "contains", "any")),
                generator.choice(texts),
                (generator.choice(texts), (generator.randrange(5), generator.randrange(5))),
                generator.random() < 0.3,
                generator.random() < 0.1,
            )
            for _ in range(generator.randrange(4))
        )
        script = PeerScript("x", b"", steps, generator.random() < 0.5, generator.choice(texts))
        pieces = [generator.choice(texts) for _ in range(8)]
        answers, _ = talk(script, *pieces, is_stream=generator.random() < 0.7)
        assert all(len(answer) < 100 for answer in answers)
