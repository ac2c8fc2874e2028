"""The plugin devices on programs that ask buses, screens, flash memory and the like; on both byte orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import shell
from tests.guest.test_plugins import run
from tests.programs import qemu_name, root_with

Rootfs = Callable[[str], Path]
TOOLS = [("armhf", "arm"), ("s390x", "s390x")]

FOUR = "".join(
    f"""{{ path = "/dev/{name}", minor = {number}, source = "{source}", requests = {{
      {{ code = "W 7 read", fields = "which i32", values = {{ which = {number} }} }} }} }},"""
    for number, (name, source) in enumerate(
        (("one", "null"), ("two", "null"), ("three", "silent"), ("four", "silent")), 1
    )
)


@pytest.mark.parametrize("arch", ["mips", "thumb"])
def test_a_descriptor_stays_one_of_its_device_whatever_else_has_the_same_behind_it(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    root = root_with(tmp_path / "root", arch, "same_source")
    table = f"return {{ devices = {{ {FOUR} }} }}"
    output, _ = run(root, qemu_dir, qemu_name(arch), "devices", table, "/bin/same_source")
    assert output.splitlines() == [
        *("one 1 1", "two 2 2", "three 3 3", "four 4 4"),
        # The machine's own /dev/null is none of them.
        "real -1 3",
        *("reused 2 2", "copy 1 1", "child 1 1", "inherited 1 1", "not inherited closed"),
    ]


# Layouts and numbers of linux/{i2c-dev,i2c,fb,spi/spidev,input,watchdog,gpio}.h and mtd/mtd-abi.h.
MACHINE = r"""return { devices = {
  { path = "/dev/i2c-0", major = 89, minor = 0, requests = {
    { number = 0x705, fields = "functions ulong", values = { functions = 0x0eff0009 } },
    { number = 0x703 },
    { number = 0x720, fields = "read_write u8, command u8, size u32, data ptr",
      when = { read_write = 1, command = 5, size = 2 },
      into = { data = { fields = "byte u8", values = { byte = 0x42 } } } },
    { number = 0x720, fields = "read_write u8, command u8, size u32, data ptr",
      when = { read_write = 1, size = 3 },
      into = { data = { fields = "word u16", values = { word = 0x1234 } } } },
    { number = 0x707, fields = "msgs ptr, nmsgs u32", when = { nmsgs = 2 }, answer = 2, into = { msgs = {
      fields = "addr u16, flags u16, len u16, buf ptr, addr_in u16, flags_in u16, len_in u16, buf_in ptr",
      into = { buf_in = { fields = "bytes b2", values = { bytes = "\200\1" } } } } } } } },
  { path = "/dev/fb0", major = 29, minor = 0, requests = {
    { number = 0x4600, gives = "mode",
      fields = "xres u32, yres u32, xres_virtual u32, yres_virtual u32, offsets b8, bits u32, rest b132",
      values = { xres = 640, yres = 480, xres_virtual = 640, yres_virtual = 480, bits = 16 } },
    { number = 0x4601, fields = "mode b160", keeps = "mode" },
    { number = 0x4606, fields = "mode b160" },
    { number = 0x4602,
      fields = "id b16, smem_start ulong, smem_len u32, kinds b12, pans b6, stride u32, mmio ulong, rest b14",
      values = { id = "panel", smem_start = 0x1000, smem_len = 614400, stride = 1280 } } } },
  { path = "/dev/spidev0.0", major = 153, minor = 0, requests = {
    { code = "k 1 read", fields = "mode u8", gives = "mode" },
    { code = "k 1 write", fields = "mode u8", keeps = "mode" },
    { code = "k 2 read", fields = "lsb_first u8" },
    { code = "k 3 read", fields = "bits u8", values = { bits = 8 } },
    { code = "k 4 read", fields = "hertz u32", values = { hertz = 1000000 }, gives = "speed" },
    { code = "k 4 write", fields = "hertz u32", keeps = "speed" },
    { code = "k 0 write", fields = "tx_buf u64, rx_buf u64, len u32, speed_hz u32, rest b8", answer = 4,
      when = { len = 4 }, into = { rx_buf = { fields = "data b4", values = { data = "pong" } } } } } },
  { path = "/dev/input/event0", major = 13, minor = 64,
    content = { { word = 5 }, { word = 6 }, { u16 = 1 }, { u16 = 28 }, { i32 = 1 } },
    requests = {
      { code = "E 1 read", fields = "version i32", values = { version = 0x10001 } },
      { code = "E 2 read", fields = "bus u16, vendor u16, product u16, version u16", values = { bus = 25 } },
      { code = "E 6 read", fields = "name b256", values = { name = "buttons" } },
      { code = "E 144 write", fields = "grab i32" } } },
  { path = "/dev/watchdog", minor = 130, source = "null", requests = {
    { code = "W 0 read", fields = "options u64, identity b32", values = { identity = "lab" } } } },
  { path = "/dev/mtd0", major = 90, minor = 0, content = "boot", size = 65536, fill = 255, requests = {
    { code = "M 1 read",
      fields = "type u8, flags u32, size u32, erasesize u32, writesize u32, oobsize u32, padding u64",
      values = { type = 3, flags = 0xc00, size = 65536, erasesize = 4096, writesize = 1 } },
    { code = "M 7 read", fields = "count i32" } } },
  { path = "/dev/gpiochip0", major = 254, minor = 0, requests = {
    { code = "0xb4 1 read", fields = "name b32, label b32, lines u32",
      values = { name = "gpiochip0", label = "lab", lines = 2 } },
    { code = "0xb4 2 both", fields = "line u32, flags u32, name b32, consumer b32",
      when = { line = 1 }, values = { flags = 3, name = "reset", consumer = "kernel" } },
    { code = "0xb4 2 both", fields = "line u32, flags u32, name b32, consumer b32",
      values = { name = "led" } } } },
} }"""

LOOK = """
i2cdetect -F 0 | sed -n 2p; i2cget -y 0 0x48 5; i2cget -y 0 0x48 6 w; i2ctransfer -y 0 w1@0x48 9 r2
fbset -fb /dev/fb0 -xres 320; fbset -i -fb /dev/fb0 | grep -E 'geometry|Name|Address|Length'
spi-config -d /dev/spidev0.0 -m 3 -s 500000; spi-config -d /dev/spidev0.0 -q
printf ping | spi-pipe -d /dev/spidev0.0 -b 4 -n 1; echo
evtest /dev/input/event0 2>&1 | grep -E 'name:|ID:|^Event|expected'
echo watchdog-device = /dev/watchdog > /etc/watchdog.conf; wd_identify
mtd_debug info /dev/mtd0 | grep -E 'size|type'; mtd_debug read /dev/mtd0 2 4 /read; xxd -p /read
ls /dev; mkdir -p /sys/bus/gpio/devices/gpiochip0; echo 254:0 > /sys/bus/gpio/devices/gpiochip0/dev; gpioinfo
"""


@pytest.mark.parametrize(("package", "arch"), TOOLS)
def test_programs_of_a_distribution_read_and_set_a_machine_that_is_not_there(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    root = rootfs(f"hardware-tools-{package}")
    output, log = run(root, qemu_dir, arch, "devices", MACHINE, *shell(LOOK))
    event = 16 if arch == "arm" else 24
    assert [" ".join(line.split()) for line in output.splitlines()] == [
        *("I2C yes", "0x42", "0x1234", "0xc8 0x01"),
        "geometry 320 480 640 480 16",
        *("Name : panel", "Address : 0x1000", "LineLength : 1280"),
        "/dev/spidev0.0: mode=3, lsb=0, bits=8, speed=500000, spiready=0",
        "pong",
        "Input device ID: bus 0x19 vendor 0x0 product 0x0 version 0x0",
        'Input device name: "buttons"',
        "Event: time 5.000006, type 1 (EV_KEY), code 28 (KEY_ENTER), value 1",
        f"expected {event} bytes, got 0",
        "lab",
        *("mtd.type = MTD_NORFLASH", "mtd.size = 65536 (64K)", "mtd.erasesize = 4096 (4K)"),
        *("mtd.writesize = 1", "mtd.oobsize = 0", "Copied 4 bytes from address 0x00000002 in flash to /read"),
        "6f74ffff",
        *("fb0", "gpiochip0", "i2c-0", "input", "mtd0", "spidev0.0", "watchdog"),
        "gpiochip0 - 2 lines:",
        'line 0: "led" unused input active-high',
        'line 1: "reset" "kernel" output active-high [used]',
    ]
    assert not any("not configured" in line for line in log if "event0" not in line)
