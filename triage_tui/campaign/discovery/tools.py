"""Programs that scripts call for the work of a moment: they are no services.

From the applets of busybox(1), coreutils, util-linux, net-tools, iproute2, kmod, mtd-utils and what the
firmware of routers and cameras uses to read and write its settings (Realtek's flash) and registers
(HiSilicon's himm).
"""

from __future__ import annotations

import re

_FILES = """
[ [[ ar arch awk base64 basename bunzip2 bzcat bzip2 cal cat chattr chgrp chmod chown cksum clear cmp comm cp
cpio cut date dc dd df diff dirname dos2unix du echo ed egrep env expand expr factor fallocate false fgrep
file flock
find fold fsync getopt grep gunzip gzip head hexdump hexedit id install join less link ln ls lsattr
lzcat lzma md5sum mkdir mkfifo mknod mktemp more mv nl nohup nproc od paste patch pathchk perl-base
printenv printf
pwd readlink realpath resize rev rm rmdir sed seq sha1sum sha256sum sha512sum shred shuf sleep sort split stat
strings stty sum sync tac tail tar tee test touch tr true truncate tsort tty uname uniq unix2dos unlink unlzma
unxz unzip usleep uudecode uuencode vi wc which whoami xargs xz xzcat yes zcat
"""
_SYSTEM = """
adduser addgroup agetty blkid blockdev bootchartd chpasswd chroot chrt chvt deallocvt delgroup deluser depmod
devmem dmesg dumpkmap fbset fbsplash fdisk findfs flash_erase flash_eraseall flash_lock flash_unlock flashcp
free freeramdisk fsck fsck.ext2 fsck.ext3 fsck.ext4 fstrim fuser getenforce halt hdparm hostid hostname
hwclock
initctl insmod ionice ipcrm ipcs kbd_mode kill killall killall5 last ldconfig loadfont loadkmap logger login
logname losetup lsmod lsof lspci lsusb mesg mkdosfs mke2fs mkfs mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.jffs2
mkfs.ubifs mkfs.vfat mkswap modinfo modprobe mount mountpoint mtd nandwrite nanddump nice openvt passwd pgrep
pidof pivot_root pkill poweroff ps pwdx rdev readahead readprofile reboot renice reset restorecon rmmod
run-parts runlevel sestatus setarch setconsole setfont setkeycodes setlogcons setsid setterm showkey shutdown
start-stop-daemon su sudo sulogin swapoff swapon switch_root sysctl sysinfo telinit time timeout top tune2fs
ubiattach ubidetach ubiformat ubimkvol ubirmvol ubirsvol ubiupdatevol udevadm udevsettle udevtrigger umount
update-rc.d uptime users vconfig vmstat w wall watch who taskset tasklist update-alternatives
systemd-tmpfiles systemd-sysusers systemd-machine-id-setup systemctl service invoke-rc.d rc-service rc-update
"""
_NETWORK = """
arp arping brctl dnsdomainname ebtables ethtool ether-wake fdformat ftpget ftpput ifconfig ifdown ifenslave
ifquery ifup ip ip6tables ip6tables-restore ipaddr ipcalc iplink iproute iprule ipset iptables
iptables-restore iptables-save iptunnel iw iwconfig iwlist iwpriv nameif nc netstat nft nslookup ping ping6
pscan resolvconf route swconfig tc tftp traceroute traceroute6 tunctl vlan wget curl whois wl wlctl wlconf
dig host ssh scp ssh-keygen dropbearkey openssl fw3 fw4 sh-keygen
"""
_SETTINGS = """
alsactl amixer cfg cfg_get cfg_set config_get config_set envram factory fw_printenv fw_setenv flash_get
gpio i2cdetect i2cget i2cset i2cdump jshn json_add_string nvram nvram_get nvram_set nvramget nvramset
ralink_init setmac uci ubus xmldbc xmldb_get cfgtool getcfg setcfg led ledctl mii-tool reg regs
switch setup_mac flash himm himd himc himm.l himd.l btools devmem2 i2c_read i2c_write ssp_read ssp_write
gpio_ctl mtd_write nvram_show
"""
TOOLS = frozenset(f"{_FILES} {_SYSTEM} {_NETWORK} {_SETTINGS}".split())
"""Names of programs that end by themselves and serve nobody."""

QUERIES = frozenset(
    [
        "awk",
        "cmp",
        "config_get",
        "curl",
        "diff",
        "egrep",
        "expr",
        "fgrep",
        "find",
        "flash",
        "fuser",
        "fw_printenv",
        "grep",
        "id",
        "ifconfig",
        "ip",
        "ls",
        "lsmod",
        "mountpoint",
        "nvram",
        "nvram_get",
        "nvramget",
        "pgrep",
        "pidof",
        "ping",
        "ps",
        "readlink",
        "sed",
        "stat",
        "uci",
        "wget",
        "wl",
    ]
)
"""Those whose answer decides what follows, and is not known."""

SHELLS = frozenset(("sh", "ash", "bash", "dash", "hush", "msh", "ksh", "zsh", "csh"))
CONSOLES = frozenset(("getty", "agetty", "mingetty", "ugetty", "login", "sulogin", "cttyhack"))
"""Programs that wait for a person at a terminal."""
INIT = frozenset(
    (
        "init",
        "linuxrc",
        "procd",
        "systemd",
        "openrc",
        "openrc-init",
        "runit-init",
        "telinit",
        "reboot",
        "halt",
        "poweroff",
        "shutdown",
    )
)
_FOR_KERNEL = re.compile(r"(modprobe|insmod|hotplug|mdev|hotplug2|udev|udevd|systemd-udevd|ueventd)")


def no_service(name: str) -> str:
    """Return why the program of that name is no service, one sentence without its end; "" where it may be."""
    if name in TOOLS:
        return "a tool that does its work and ends"
    if name in SHELLS:
        return "a shell of the console"
    if name in CONSOLES:
        return "it waits for a person at a terminal"
    if name in INIT:
        return "init itself, or what ends it"
    if _FOR_KERNEL.fullmatch(name):
        return "a helper of the kernel for modules and device nodes"
    return ""
