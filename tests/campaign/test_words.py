"""Words of the shell as a root tells them: POSIX.1-2017, Shell Command Language, 2.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.made_roots import ELF, found_in, left_out

WORDS = {
    'x="1 2"; d $x "$x" \'$x\'': ["1", "2", "1 2", "$x"],
    'a=A b=B; d "$a $b" "$a  ${b}" "$a$b" $a/$b/c $a.$b': ["A B", "A  B", "AB", "A/B/c", "A.B"],
    'd "a\\"b\\$c\\\\" a\\ b \\$x': ['a"b$c\\', "a b", "$x"],
    "d ${u:-def} ${u-x y} ${u:=set} $u ${u:+alt} ${v:+none} ${u:?}": [
        "def",
        "x",
        "y",
        "set",
        "set",
        "alt",
        "set",
    ],
    "p=/a/b.tar.gz; d ${p#*/} ${p##*/} ${p%.*} ${p%%.*} ${p##*.}": [
        "a/b.tar.gz",
        "b.tar.gz",
        "/a/b.tar",
        "/a/b",
        "gz",
    ],
    'e=; d $e "$e" "" x$e': ["", "", "x"],
    'set -- 1 "2 3"; d "$@" $# $2 "a$*b"': ["1", "2 3", "2", "2", "3", "a1 2 3b"],
    "set -- a b c; shift; d $1 $@": ["b", "b", "c"],
    "d /etc/f*.conf /etc/none*": ["/etc/f1.conf", "/etc/f2.conf", "/etc/none*"],
    "cd /etc; d f?.conf $PWD": ["f1.conf", "f2.conf", "/etc"],
    "d $(basename /a/b.c .c) `dirname /a/b.c` $(cat /etc/text) $(echo -n x)": ["b", "/a", "one", "two", "x"],
    'd "$(cat /etc/text)"': ["one\ntwo"],
    "d $(which d) $(readlink -f /bin/link) $(seq 1 3)": ["/bin/d", "/bin/d", "1", "2", "3"],
    "d 'it'\"'\"s $'a' \"it's\"": ["it's", "a", "it's"],
    "f() { local x=in; d $x $1; }; x=out; f arg; d $x": ["in", "arg"],
    "d --opt=$(uname -s) -p80 'a b'c\"d e\"": ["--opt=Linux", "-p80", "a bcd e"],
    "x=a; x=${x}b; x+=c; d $x": ["abc"],
    "d a \\\n  b # not c": ["a", "b"],
    'i=/etc/init.d/S50web; case "$i" in *.sh) d sh;; */S[0-9]?web) d "web $i";; esac': [
        "web /etc/init.d/S50web"
    ],
    "for n in b a; do d $n; done": ["b"],
    'eval "d \\$HOME x"': ["/", "x"],
}
UNKNOWN = {
    "d $(nvram get x)": "what `nvram get x` prints is not known",
    'p="$(nvram get x)"; d -p "$p"': "what `nvram get x` prints is not known",
    "read x; d $x": "x is read while the script runs",
    "d $$": "$$ is known only while the script runs",
    "d $((1/0))": "the value of $((1/0)) is not known",
    "d ${x/$y/b}": "the value of ${x/$y/b} is not known",
    "d $(cat /proc/cmdline)": "what `cat /proc/cmdline` prints is not known",
    "d $(cat /etc/text | tr a b)": "what `$(cat /etc/text | tr a b)` prints is not known",
}
FILES: dict[str, str | bytes] = {
    "/bin/d": ELF,
    "/bin/link": "-> d",
    "/etc/f1.conf": "",
    "/etc/f2.conf": "",
    "/etc/text": "one\ntwo\n",
}


@pytest.mark.parametrize("script", WORDS)
def test_words_become_what_the_shell_makes_of_them(tmp_path: Path, script: str) -> None:
    found = found_in(tmp_path / "root", {**FILES, "/etc/init.d/rcS": f"#!/bin/sh\n{script}\n"})
    assert found.targets[0].argv == ["d", *WORDS[script]]


@pytest.mark.parametrize("script", UNKNOWN)
def test_of_words_that_are_not_known_it_is_said_why(tmp_path: Path, script: str) -> None:
    found = found_in(tmp_path / "root", {**FILES, "/etc/init.d/rcS": f"#!/bin/sh\n{script}\n"})
    assert found.targets == []
    assert UNKNOWN[script] in left_out(found).values()
