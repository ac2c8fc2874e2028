"""What start scripts start: vendors' own habits, sysvinit, busybox, OpenWrt, Debian, inetd, runit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.campaign.made_roots import ELF, commands, elf, found_in, left_out, make_root, of
from triage_tui.campaign.discovery import root_view
from triage_tui.campaign.discovery.boot import discover
from triage_tui.campaign.discovery.shell import follow
from triage_tui.errors import Stopped, TriageError

BUSYBOX: dict[str, str | bytes] = {
    "/bin/busybox": ELF,
    "/bin/sh": "-> busybox",
    "/sbin/init": "-> ../bin/busybox",
    **{f"/sbin/{name}": "-> ../bin/busybox" for name in ("syslogd", "getty", "start-stop-daemon", "udhcpc")},
    **{f"/usr/sbin/{name}": "-> ../../bin/busybox" for name in ("httpd", "telnetd", "crond", "inetd")},
}
VENDOR = """\
#!/bin/sh
mount -t proc proc /proc
. /etc/rc.vars
export MODEL=AC1200
LAN_IP=`nvram get lan_ipaddr`
if [ -f /etc/udhcpd.conf ]; then udhcpd -f /etc/udhcpd.conf & fi
if [ "$(nvram get telnet_en)" = "1" ]; then
    telnetd -l /bin/sh
else
    BANNER=off
fi
cd /www
$HTTPD -p $WEB_PORT -h /www $BANNER
cfgmgr $LAN_IP &
cd /
for d in upnpd hnap lost; do
    [ -x /usr/bin/$d ] && /usr/bin/$d -i br0 &
done
start-stop-daemon -S -b -m -p /var/run/crond.pid -x /usr/sbin/crond -- -f -c /etc/crontabs
[ -f /var/run/upnpd.pid ] || upnpd2 && true
while true; do
    /usr/bin/missingd
    sleep 1
done &
case "$MODEL" in
    AC1200|AC1300) /usr/bin/hnap --model "$MODEL (tm)" $NOBODY;;
    *) upnpd other;;
esac
DIR=/etc NAME=web; FILE=$DIR/$NAME.conf
/usr/bin/hnap -f $FILE
/etc/init.d/S99extra start
"""


def test_a_vendors_script_is_followed_to_its_programs(tmp_path: Path) -> None:
    extra = "start() { inetd -f $OPTS; }\nstop() { killall inetd; }\n"
    extra += 'case "$1" in start) start;; stop) stop;; esac\n'
    found = found_in(
        tmp_path / "acme",
        {
            **BUSYBOX,
            "/etc/inittab": "::sysinit:/etc/init.d/rcS\nttyS0::askfirst:-/bin/sh\n"
            "ttyS1::respawn:/sbin/getty -L ttyS1 115200 vt100\n::respawn:/sbin/syslogd -n\n"
            "::ctrlaltdel:/sbin/reboot\n",
            "/etc/init.d/rcS": VENDOR,
            "/etc/init.d/S99extra": f"#!/bin/sh\n{extra}",
            "/etc/rc.vars": "WEB_PORT=80\nHTTPD=/usr/sbin/httpd\n",
            "/usr/bin/cfgmgr": ELF,
            "/usr/bin/upnpd": ELF,
            "/usr/bin/upnpd2": elf("arm"),
            "/usr/bin/hnap": ELF,
            "/www/index.html": "hello",
        },
    )
    assert found.init == "busybox"
    assert commands(found) == [
        "telnetd -l /bin/sh",
        "/usr/sbin/httpd -p 80 -h /www off",
        "/usr/bin/upnpd -i br0",
        "/usr/bin/hnap -i br0",
        "/usr/sbin/crond -f -c /etc/crontabs",
        "upnpd2",
        "/usr/bin/hnap --model AC1200 (tm)",
        "/usr/bin/hnap -f /etc/web.conf",
        "inetd -f",
        "/sbin/syslogd -n",
    ]
    web = of(found, "httpd")
    assert (web.cwd, web.program, web.arch, web.origin) == (
        "/www",
        "/usr/sbin/httpd",
        "mipsel",
        "/etc/init.d/rcS line 13",
    )
    assert web.env["MODEL"] == "AC1200"
    assert web.env["HOME"] == "/"
    assert "HTTPD" not in web.env
    assert of(found, "upnpd2").arch == "arm"
    assert of(found, "telnetd").notes == [
        'only where `[ "$(nvram get telnet_en)" = "1" ]` (/etc/init.d/rcS line 7) holds'
    ]
    assert of(found, "inetd").notes == ["nothing sets OPTS"]
    assert of(found, "syslogd").cwd == "/"
    why = left_out(found)
    assert why["udhcpd -f /etc/udhcpd.conf"] == (
        "only where `[ -f /etc/udhcpd.conf ]` (/etc/init.d/rcS line 6) holds, which it does not here"
    )
    assert why["cfgmgr ${LAN_IP}"] == "what `nvram get lan_ipaddr` prints is not known"
    assert why["/usr/bin/missingd"] == "there is no program /usr/bin/missingd in the root"
    assert why["/bin/sh"] == "it waits for a person at a terminal"
    assert why["/sbin/getty -L ttyS1 115200 vt100"] == "it waits for a person at a terminal"
    assert why["/sbin/reboot"] == "only when Ctrl-Alt-Del is pressed"
    assert why["mount, sleep"] == "tools that do their work and end, no services"
    assert "upnpd other" not in why


SYSV: dict[str, str | bytes] = {
    "/sbin/init": ELF,
    "/bin/sh": ELF,
    "/etc/inittab": "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\nl2:2:wait:/etc/init.d/rc 2\n"
    "l6:6:wait:/etc/init.d/rc 6\n1:2345:respawn:/sbin/getty 38400 tty1\nds:2:respawn:/usr/sbin/dsd -n\n",
    "/etc/init.d/rcS": "#!/bin/sh\nexec /etc/init.d/rc S\n",
    "/etc/init.d/rc": "#!/bin/sh\nstartpar -M boot -R $1\n",
    "/etc/rcS.d/S01first": "-> ../init.d/first",
    "/etc/rc2.d/S20zweb": "-> ../init.d/web",
    "/etc/rc2.d/S10ntp": "-> ../init.d/ntp",
    "/etc/rc2.d/K01old": "-> ../init.d/old",
    "/etc/init.d/first": "#!/bin/sh\n/usr/sbin/firstd\n",
    "/etc/init.d/old": "#!/bin/sh\n/usr/sbin/oldd\n",
    "/etc/init.d/spare": "#!/bin/sh\n/usr/sbin/spared\n",
    "/etc/default/web": 'WEB_OPTS="-p 8080 -u www"\nENABLED=yes\n',
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/false\n",
    "/srv/index": "x",
    "/etc/init.d/web": """\
#!/bin/sh
### BEGIN INIT INFO
DAEMON=/usr/sbin/webd
PIDFILE=/var/run/web.pid
[ -x "$DAEMON" ] || exit 0
[ -r /etc/default/web ] && . /etc/default/web
. /lib/lsb/init-functions
[ "$ENABLED" = yes ] || { log_warning_msg "disabled"; exit 0; }
do_start() {
    start-stop-daemon --start --quiet --pidfile $PIDFILE --exec $DAEMON --test > /dev/null || return 1
    start-stop-daemon --start --quiet --chuid www:www --chdir /srv --pidfile $PIDFILE \\
        --exec $DAEMON -- $WEB_OPTS || return 2
}
case "$1" in
  start)
    log_daemon_msg "Starting" "webd"
    do_start
    case "$?" in 0|1) log_end_msg 0 ;; 2) log_end_msg 1 ;; esac
    ;;
  stop) start-stop-daemon --stop --exec $DAEMON ;;
  restart) $0 stop; $0 start ;;
esac
""",
    "/etc/init.d/ntp": """\
#!/bin/bash
. /etc/rc.d/init.d/functions
[ -f /etc/ntp.conf ] || exit 6
start() { echo -n $"Starting: "; daemon --user ntp ntpd -g; }
start
""",
    **{f"/usr/sbin/{name}": ELF for name in ("firstd", "webd", "oldd", "spared", "ntpd", "dsd")},
}


def test_runlevels_are_followed_in_order(tmp_path: Path) -> None:
    found = found_in(tmp_path / "sysv", SYSV)
    assert found.init == "sysvinit"
    assert commands(found) == ["/usr/sbin/firstd", "/usr/sbin/webd -p 8080 -u www", "/usr/sbin/dsd -n"]
    web = of(found, "webd")
    assert (web.user, web.cwd, web.origin) == (33, "/srv", "/etc/rc2.d/S20zweb line 11")
    why = left_out(found)
    place = "/etc/rc2.d/S10ntp line 3"
    assert (
        why["/etc/rc2.d/S10ntp"] == f"it ends at {place}, as `[ -f /etc/ntp.conf ]` ({place}) does not hold"
    )
    assert why["/etc/init.d/spare"] == why["/etc/init.d/old"] == "nothing starts this script at boot"
    assert why["/etc/init.d/rc 6"] == "only in runlevel 6, and the default is 2"


def test_of_loose_packages_every_script_is_followed(tmp_path: Path) -> None:
    files = {name: text for name, text in SYSV.items() if name.startswith(("/etc/init.d/", "/usr", "/etc/d"))}
    del files["/etc/init.d/rcS"], files["/etc/init.d/rc"]
    found = found_in(tmp_path / "loose", {**files, "/etc/ntp.conf": "x"})
    assert found.init == ""
    assert [target.name for target in found.targets] == ["firstd", "ntpd", "oldd", "spared", "webd"]
    assert of(found, "ntpd").argv == ["ntpd", "-g"]
    assert of(found, "ntpd").notes == ["the user ntp is not in /etc/passwd, so it runs as root"]


OPENWRT: dict[str, str | bytes] = {
    "/sbin/procd": ELF,
    "/bin/busybox": ELF,
    "/etc/rc.common": "#!/bin/sh\n",
    "/lib/functions.sh": "config_load() { uci_load $1; }\nappend() { eval $1=$2; }\n",
    "/usr/sbin/uhttpd": ELF,
    "/usr/sbin/dropbear": ELF,
    "/usr/sbin/ntpd": ELF,
    "/usr/sbin/oldd": ELF,
    "/etc/config/uhttpd": """\
config uhttpd 'main'
    list listen_http '0.0.0.0:80'
    list listen_http '[::]:80'
    option home '/www'
    option max_requests 3

config uhttpd other
    option enabled 0
""",
    "/etc/config/dropbear": "config dropbear\n\toption PasswordAuth 'on'\n\toption Port 2222\n",
    "/etc/config/system": "config timeserver 'ntp'\n\tlist server 0.pool\n\tlist server 1.pool\n",
    "/etc/init.d/uhttpd": """\
#!/bin/sh /etc/rc.common
START=50
USE_PROCD=1
append_arg() { local val; config_get val "$1" "$2"; [ -n "$val" ] && procd_append_param command "$3" "$val"; }
start_instance() {
    local cfg="$1" enabled listen http
    config_get_bool enabled "$cfg" enabled 1
    [ $enabled -gt 0 ] || return
    procd_open_instance
    procd_set_param respawn
    procd_set_param command /usr/sbin/uhttpd -f
    append_arg "$cfg" home -h
    append_arg "$cfg" max_requests -n
    config_get http "$cfg" listen_http
    for listen in $http; do procd_append_param command -p "$listen"; done
    procd_close_instance
}
start_service() { . /lib/functions.sh; config_load uhttpd; config_foreach start_instance uhttpd; }
""",
    "/etc/init.d/dropbear": """\
#!/bin/sh /etc/rc.common
START=19
USE_PROCD=1
PROG=/usr/sbin/dropbear
instance() {
    [ "$2" = 0 ] || return 1
    procd_open_instance
    procd_set_param command "$PROG" -F -P /var/run/dropbear.$1.pid
    [ "${PasswordAuth}" -eq 0 ] && procd_append_param command -s
    if network_is_up lan; then procd_append_param command -l br-lan; fi
    procd_append_param command -p "${Port}" -K "${SSHKeepAlive}"
    procd_set_param env A=1 "B=two words"
    procd_set_param user nobody
    procd_close_instance
}
validate() {
    uci_load_validate dropbear dropbear "$1" "$2" 'PasswordAuth:bool:1' 'Port:port:22' \\
        'SSHKeepAlive:uinteger:300'
}
start_service() { config_load dropbear; config_foreach validate dropbear instance; }
boot() { start "$@"; }
""",
    "/etc/init.d/sysntpd": """\
#!/bin/sh /etc/rc.common
START=98
USE_PROCD=1
start_service() {
    local peer
    procd_open_instance
    procd_set_param command /usr/sbin/ntpd -n -N
    add_peer() { procd_append_param command -p $1; }
    config_load system
    config_list_foreach ntp server add_peer
    procd_append_param command -I "$(uci -q get system.ntp.server)"
    procd_close_instance
}
""",
    "/etc/config/tunnels": "config global\n\toption mode fast\nconfig peer one\n\tlist net a\n"
    "\tlist net b\nconfig peer\n",
    "/etc/init.d/tunnels": """\
#!/bin/sh /etc/rc.common
START=99
USE_PROCD=1
export SECRET=1
config_cb() { [ "$1" == peer ] && append PEERS "$2" ,; }
option_cb() { [ "$CONFIG_SECTION/$1" = cfg01*/mode ] || MODE=$2; }
list_cb() { NETS="$NETS -n $2"; }
start_service() {
    config_load tunnels
    echo x > /var/etc/tunnels.$$
    mv /var/etc/tunnels.$$ /var/etc/tunnels
    procd_open_instance
    procd_set_param command /usr/sbin/oldd --peers $PEERS --mode $MODE $NETS -c /var/etc/tunnels
    procd_close_instance
}
""",
    "/sbin/ubusd": ELF,
    "/etc/init.d/old": "#!/bin/sh /etc/rc.common\nSTART=60\nstart() { service_start /usr/sbin/oldd -d; }\n",
    "/etc/init.d/lost": "#!/bin/sh /etc/rc.common\nstart() { service_start /usr/sbin/oldd -x; }\n",
}


@pytest.mark.parametrize("links", [False, True])
def test_scripts_of_openwrt_give_what_they_describe_to_procd(tmp_path: Path, links: bool) -> None:
    names = {"S19dropbear": "dropbear", "S50uhttpd": "uhttpd", "S60old": "old", "S98sysntpd": "sysntpd"}
    names["S99tunnels"] = "tunnels"
    linked = {f"/etc/rc.d/{name}": f"-> ../init.d/{target}" for name, target in names.items()}
    found = found_in(tmp_path / "openwrt", {**OPENWRT, **(linked if links else {})})
    assert found.init == "procd"
    assert commands(found) == [
        "/sbin/ubusd",
        "/usr/sbin/dropbear -F -P /var/run/dropbear.cfg014dd4.pid -p 2222 -K 300",
        "/usr/sbin/uhttpd -f -h /www -n 3 -p 0.0.0.0:80 -p [::]:80",
        "/usr/sbin/oldd -d",
        "/usr/sbin/ntpd -n -N -p 0.pool -p 1.pool -I 0.pool 1.pool",
        "/usr/sbin/oldd --peers one,cfg033511 --mode fast -n a -n b -c /var/etc/tunnels",
    ]
    tunnels = found.targets[-1]
    assert "SECRET" not in tunnels.env
    assert len(tunnels.notes) == 1
    assert tunnels.notes[0].startswith(
        "its argument /var/etc/tunnels is not in the root: it is made at boot ("
    )
    dropbear = of(found, "dropbear")
    assert dropbear.notes[0].partition(" (")[0] == (
        "`-l br-lan` is added to its arguments where `network_is_up lan`"
    )
    assert (dropbear.env["A"], dropbear.env["B"]) == ("1", "two words")
    why = left_out(found)
    assert why["/etc/init.d/lost"] == "nothing starts this script at boot"


def test_inetd_and_xinetd_say_what_their_programs_need(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "inetd",
        {
            "/usr/sbin/in.telnetd": ELF,
            "/usr/sbin/tcpd": ELF,
            "/usr/sbin/tftpd": ELF,
            "/usr/sbin/in.ftpd": ELF,
            "/etc/inetd.conf": "# old\ntelnet stream tcp nowait root /usr/sbin/tcpd /usr/sbin/in.telnetd -h\n"
            "tftp dgram udp wait nobody /usr/sbin/tftpd tftpd /tftp\n"
            "echo stream tcp nowait root internal\nftp stream tcp nowait root /usr/sbin/gone gone\nrubbish\n",
            "/etc/xinetd.conf": "defaults\n{\n\tinstances = 60\n}\nincludedir /etc/xinetd.d\n",
            "/etc/xinetd.d/ftp": "service ftp\n{\n\tdisable = no\n\tsocket_type = stream\n\twait = no\n"
            "\tuser = root\n\tserver = /usr/sbin/in.ftpd\n\tserver_args = -l -a\n\tenv = LEVEL=3\n}\n",
            "/etc/xinetd.d/time": "service time {\n type = INTERNAL\n}\n"
            "service chargen\n{\n disable = yes\n}\n",
        },
    )
    assert commands(found) == ["/usr/sbin/in.telnetd -h", "tftpd /tftp", "in.ftpd -l -a"]
    telnet, tftp, ftp = found.targets
    assert telnet.program == "/usr/sbin/in.telnetd"
    assert telnet.stdin == tftp.stdin == ftp.stdin == "open"
    assert "it needs a connected socket as its standard input and output" in telnet.notes[0]
    assert "it needs a bound datagram socket" in tftp.notes[0]
    assert (ftp.env["LEVEL"], ftp.origin) == ("3", "/etc/xinetd.d/ftp line 1")
    why = left_out(found)
    assert why["echo (inetd)"] == why["time (xinetd)"] == "inetd answers it itself"
    assert why["chargen (xinetd)"] == "it is disabled (disable = yes)"
    assert why["gone"] == "there is no program /usr/sbin/gone in the root"


def test_supervised_and_listed_services(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "others",
        {
            "/usr/bin/svlogd": ELF,
            "/usr/sbin/webd": ELF,
            "/usr/sbin/confd": ELF,
            "/usr/sbin/snmpd": ELF,
            "/etc/sv/log/run": "#!/bin/sh\nexec 2>&1\nD=$(dirname $PWD)\n"
            "exec chpst -u root svlogd -tt ${D##*/}\n",
            "/etc/sv/off/run": "#!/bin/sh\nexec /usr/sbin/webd\n",
            "/etc/sv/off/down": "",
            "/etc/rc.d/rc.conf": 'export cfg_services="mount confd"\n',
            "/etc/rc.d/init.d/confd": '#!/bin/sh\n[ "$1" = start ] && confd -z\n',
        },
    )
    assert commands(found) == ["confd -z", "svlogd -tt sv"]
    assert of(found, "svlogd").cwd == "/etc/sv/log"
    assert "`down`" in left_out(found)["/etc/sv/off/run"]


def test_scripts_that_describe_their_program_are_understood(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "described",
        {
            "/usr/sbin/webd": ELF,
            "/usr/sbin/snmpd": ELF,
            "/etc/init.d/web": '#!/sbin/openrc-run\ncommand=/usr/sbin/webd\ncommand_args="-f -x"\n',
            "/etc/init.d/snmpd": '#!/bin/sh\nif [ true != "$I" ]; then\n'
            'set "$0" "$@"; I=true . /lib/init/init-d-script\nfi\n'
            "DAEMON=/usr/sbin/snmpd\ndo_start_prepare() { DAEMON_ARGS='-LS -f'; }\n",
        },
    )
    assert commands(found) == ["/usr/sbin/snmpd -LS -f", "/usr/sbin/webd -f -x"]


def test_what_is_asked_and_what_is_started_are_told_apart(tmp_path: Path) -> None:
    script = """\
begin() { /usr/sbin/one -d; }
running() { kill -0 $(cat /var/run/one.pid); }
if running; then exit 0; fi
if begin; then echo started; fi
if start-stop-daemon -S -x /usr/sbin/two -- -z; then echo OK; else echo failed; fi
if vendorctl ready; then /usr/sbin/three; fi
vendorctl check || /usr/sbin/four
(/usr/sbin/one -V 2>&1 | grep -q v2) || exit 0
mount /data && /usr/sbin/five
/usr/sbin/six | logger -t six &
if [ "$(uname -s)" = Linux ] && which two; then /usr/sbin/two -w; elif true; then /usr/sbin/two -x; fi
su nobody -c '/usr/sbin/six -u'
nice -n 5 nohup env A=b /usr/sbin/six -n &
cat <<EOF > /tmp/x
/usr/sbin/six -no
EOF
/usr/sbin/six -end
start-stop-daemon -S -p /var/run/$(nvram get x).pid -x /usr/sbin/six -- -pid
start-stop-daemon -S -x /usr/sbin/six -- -port $(nvram get x)
exec -a renamed /usr/sbin/six -last
/usr/sbin/six -never
"""
    names = ("one", "two", "three", "four", "five", "six", "vendorctl")
    found = found_in(
        tmp_path / "root",
        {
            "/etc/init.d/rcS": f"#!/bin/sh\n{script}",
            "/etc/passwd": "nobody:x:99:99::/:/bin/false\n",
            **{f"/usr/sbin/{name}": ELF for name in names},
        },
    )
    assert commands(found) == [
        "/usr/sbin/one -d",
        "/usr/sbin/two -z",
        "/usr/sbin/three",
        "vendorctl check",
        "/usr/sbin/four",
        "/usr/sbin/five",
        "/usr/sbin/six",
        "/usr/sbin/two -w",
        "/usr/sbin/six -u",
        "/usr/sbin/six -n",
        "/usr/sbin/six -end",
        "/usr/sbin/six -pid",
        "renamed -last",
    ]
    conditions = {target.name: target.notes for target in found.targets if target.notes}
    assert conditions == {
        "three": ["only where `vendorctl ready` (/etc/init.d/rcS line 7) holds"],
        "four": ["only where `vendorctl check` (/etc/init.d/rcS line 8) fails"],
    }
    assert (of(found, "six-2").user, of(found, "six-3").user, of(found, "six-3").env["A"]) == (99, 0, "b")
    why = left_out(found)
    assert why["vendorctl ready"] == why["/usr/sbin/one -V"] == "it is only asked something, as a condition"
    assert why["/usr/sbin/two -x"].endswith("does not hold, which it does here")


def test_what_a_branch_may_have_set_is_taken_with_a_doubt(tmp_path: Path) -> None:
    script = """\
OPTS=-f
[ -z "$(nvram get web)" ] && PORT=80 || PORT=$(nvram get web)
if [ "$(nvram get debug)" = 1 ]; then OPTS="-f -v"; fi
if [ "$(nvram get mode)" = ap ]; then MODE=ap; else MODE=router; fi
/bin/d $OPTS -p $PORT -m $MODE
"""
    found = found_in(tmp_path / "root", {"/bin/d": ELF, "/etc/init.d/rcS": f"#!/bin/sh\n{script}"})
    assert commands(found) == ["/bin/d -f -p 80 -m router"]
    assert found.targets[0].notes == [
        'OPTS is another where `[ "$(nvram get debug)" = 1 ]` (/etc/init.d/rcS line 4) holds',
        'PORT is another where `[ -z "$(nvram get web)" ] && PORT=80` (/etc/init.d/rcS line 3) fails',
    ]


def test_an_init_of_the_vendors_own_is_named(tmp_path: Path) -> None:
    found = found_in(tmp_path / "root", {"/sbin/rc": ELF, "/sbin/init": "-> rc", "/usr/sbin/httpd": ELF})
    assert (found.init, commands(found)) == ("", [])
    assert left_out(found)["/sbin/init"].startswith("this init is a program of the vendor's own")


def test_one_endless_script_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MAX_SCRIPT_STEPS", 500)
    endless = "#!/bin/sh\n" + "for a in 1 2 3 4 5 6 7 8 9; do\n" * 4 + "true\n" + "done\n" * 4
    files = {"/etc/rc2.d/S01a": endless, "/etc/rc2.d/S02b": "#!/bin/sh\n/bin/d -b\n"}
    found = found_in(tmp_path / "root", {**files, "/bin/d": ELF})
    assert commands(found) == ["/bin/d -b"]
    assert "only its first 500 steps were followed" in left_out(found)["/etc/rc2.d/S01a"]


def test_only_what_can_be_run_is_a_target(tmp_path: Path) -> None:
    script = "dynamicd\nsparcd\ncutd\nlinkd\noutd\npyd -x\nshd &\nperld\nplain\nbusybox\nbusybox crond -f\n"
    found = found_in(
        tmp_path / "root",
        {
            "/etc/init.d/rcS": f"#!/bin/sh\n{script}",
            "/bin/dynamicd": elf(interpreter="/lib/ld-uClibc.so.0"),
            "/bin/sparcd": b"\x7fELF\x01\x02\x01" + bytes(45),
            "/bin/cutd": ELF[:60],
            "/bin/linkd": "-> /usr/lib/gone",
            "/bin/outd": "-> ../../../../../../../../etc/hostname",
            "/bin/pyd": "#!/usr/bin/env python3\nimport os\n",
            "/usr/bin/python3": ELF,
            "/bin/shd": "#!/bin/busybox sh\nexec innerd -z\n",
            "/bin/perld": "#!/usr/bin/perl -w\n",
            "/bin/innerd": ELF,
            "/bin/busybox": ELF,
            "/bin/plain": b"\0\0\0",
        },
    )
    assert commands(found) == [
        "/usr/bin/python3 /bin/pyd -x",
        "/bin/busybox sh /bin/shd",
        "innerd -z",
        "busybox crond -f",
    ]
    assert [target.name for target in found.targets] == ["pyd", "shd", "innerd", "crond"]
    why = left_out(found)
    assert "needs the interpreter /lib/ld-uClibc.so.0" in why["dynamicd"]
    assert "cut off" in why["cutd"]
    assert why["perld"] == "there is no program /usr/bin/perl in the root"
    assert "no program linkd" in why["linkd"]
    assert "no program outd" in why["outd"]
    assert "sparcd" in why
    assert "plain" in why
    assert why["busybox"] == "it is called without the name of an applet"


def test_nothing_of_the_root_is_executed_or_changed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    evil = f"#!/bin/sh\ntouch {marks}/x\n$(touch {marks}/y)\n`touch {marks}/z`\n> {marks}/w\n/bin/d $(id)\n"
    root = make_root(tmp_path / "root", {"/etc/init.d/rcS": evil, "/bin/d": evil.encode()})
    before = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
    discover(root)
    assert list(marks.iterdir()) == []
    assert sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*")) == before


ENDLESS = {
    "calls itself": "f() { f; f; }\nf\n",
    "reads itself": ". /etc/init.d/rcS\n. /etc/init.d/rcS\n",
    "starts itself": "/etc/init.d/rcS a$1 &\n/etc/init.d/rcS b$1\n",
    "doubles a text": "a=aaaaaaaaaaaaaaaa\n" + "a=$a$a$a$a\n" * 30 + "d $a\n",
    "loops in loops": "for a in 1 2 3 4 5 6 7 8 9; do\n" * 12 + "d $a\n" + "done\n" * 12,
    "evaluates itself": 'a=\'eval "$a"\'\neval "$a"\n',
    "nests": "( " * 3000 + "d" + " )" * 3000,
    "nests ifs": "if true; then\n" * 2000 + "d\n" + "fi\n" * 2000,
    "substitutes": "d " + "$(echo " * 500 + ")" * 500,
    "has a long word": "d " + "x" * 200_000,
    "has many patterns": "d " + "/*/*/*/*/*/*/*/*" * 20,
    "is not closed": "if [ -f \"/etc; then 'd\n$(\n`\n",
    "is binary": "\x01\x02\xff\xfe d\n",
    "has odd expansions": "d ${a:-${b:-${c}}} ${#a} ${a/b/c} ${!a} $((1+2)) ${a:1:2} <(d) {1..9}\n",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_hostile_scripts_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(root_view.RootView.__init__, "__defaults__", (None, None, 3000))
    make_root(tmp_path / "root", {"/bin/d": ELF, "/bin/sh": ELF})
    path = tmp_path / "root/etc/init.d/rcS"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"#!/bin/sh\n" + ENDLESS[what].encode("latin-1"))
    path.chmod(0o755)
    found = discover(tmp_path / "root")
    assert len(found.targets) < 100
    assert all(one.why and "\n" not in one.what + one.why for one in found.left_out)


def test_a_hostile_tree_is_seen_from_inside_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET=1\nsecretd\n")
    root = make_root(
        tmp_path / "root",
        {
            "/etc/init.d/rcS": "#!/bin/sh\n. /etc/up\n. /etc/loop\n. /etc/../../secret\n"
            "/bin/d $SECRET $(cat /etc/up)\n",
            "/etc/up": f"-> {tmp_path}/secret",
            "/etc/loop": "-> loop",
            "/etc/inittab": "-> /../../secret",
            "/etc/inetd.conf": "-> /dev/zero",
            "/bin/d": ELF,
        },
    )
    (root / "etc/rc.local").mkdir()
    (root / "etc/rc.d").symlink_to(tmp_path)
    found = discover(root)
    assert commands(found) == []
    assert "secretd" not in str(found.left_out)
    assert left_out(found)["/bin/d ${SECRET} $(cat /etc/up)"] == "what `cat /etc/up` prints is not known"


def test_a_search_can_be_cancelled_and_tells_how_far_it_is(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", {"/etc/init.d/rcS": "#!/bin/sh\n" + "true\n" * 11000})
    told: list[str] = []
    discover(root, progress=told.append)
    assert any("files and commands looked at" in line for line in told)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Stopped):
        discover(root, cancel=cancel)
    with pytest.raises(TriageError, match="is no directory"):
        discover(root / "etc/init.d/rcS")
