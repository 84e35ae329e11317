"""The bash scripts that run inside sessions: one leaves marks in a neighbour, one looks for them.

Both are read from standard input, so that no mark appears in the command line or environment of whoever
looks for it. Lines of the answer that count start with `R` and are separated by tabs: probe, neighbour,
what was seen (empty: nothing). `S` is a line of the process's status, `M` a mount, `N` a way out, `K` a
kernel's connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from shlex import quote
from typing import Final

LISTEN_PORT: Final = 18_471
"""Where a marked neighbour listens on all its addresses."""


@dataclass(frozen=True)
class Marks:
    """What a neighbour called `label` leaves behind, and what its kernel is reached by (empty: unknown)."""

    label: str
    file: str
    process: str
    answer: str
    kernel_key: str = ""
    kernel_path: str = ""


@dataclass(frozen=True)
class Target:
    """One HTTP request to try: what it proves, of whom, where; a hit is an answer that holds `wanted`."""

    probe: str
    label: str
    host: str
    port: int
    path: str = "/"
    wanted: str = "HTTP/1."


def marking(marks: Marks) -> str:
    """Leaves files, a process (by name and by environment) and a listener; prints the kernel's connection."""
    server = (
        "import socket\n"
        f"s = socket.create_server(('0.0.0.0', {LISTEN_PORT}))\n"
        "while True:\n"
        "    c, _ = s.accept()\n"
        "    c.settimeout(5); got = b''\n"
        "    try:\n"
        "        while b'\\r\\n\\r\\n' not in got: got += c.recv(4096) or b'\\r\\n\\r\\n'\n"
        f"        c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n{marks.answer}\\n')\n"
        "    except OSError: pass\n"
        "    c.close()\n"
    )
    return _main(
        f"""
echo mark > {quote("data-" + marks.file)}
echo mark > /tmp/{quote("tmp-" + marks.file)}
DOCTOR={quote("environment-" + marks.process)} setsid bash -c \
  'exec -a "$0" sleep 900' {quote("command-" + marks.process)} >/dev/null 2>&1 &
if command -v python3 >/dev/null; then
  setsid python3 -c {quote(server)} >/dev/null 2>&1 &
  for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/{LISTEN_PORT}) 2>/dev/null && break; sleep 0.1; done
fi
for file in $(find /tmp /run . -maxdepth 4 -name 'connection*.json' 2>/dev/null); do
  [ -O "$file" ] && printf 'K\\t%s\\n' "$(tr -d '\\n' < "$file")"
done
"""
    )


def clearing(marks: Marks) -> str:
    """Removes what `marking` left; for sessions that are not locked in, whose marks would outlive them."""
    return _main(
        f"""
rm -f {quote("data-" + marks.file)} /tmp/{quote("tmp-" + marks.file)}
local process parts
for process in /proc/[0-9]*; do
  parts=()
  mapfile -d '' -t parts < "$process/cmdline"
  case "${{parts[*]}}" in *{marks.process}*|*{marks.answer}*) kill "${{process#/proc/}}" ;; esac
done 2>/dev/null
"""
    )


def probing(neighbours: Iterable[Marks], targets: Iterable[Target], names: Iterable[tuple[str, str]], *,
            run: str, canaries: Iterable[str], written: str) -> str:  # fmt: skip
    """Looks for every neighbour's marks, tries every target, and takes stock of what the session may do.

    `names`: (label, DNS name) to look up. `canaries`: files of the host; `written`: where to write one.
    """
    lines = [
        f"marks={quote(run)}",
        _COLLECT,
        *(
            f"look {' '.join(map(quote, (n.label, n.file, n.process, n.kernel_key, n.kernel_path)))}"
            for n in neighbours
        ),
        *(
            f"try {' '.join(map(quote, (t.probe, t.label, t.host, str(t.port), t.path, t.wanted)))} &"
            for t in targets
        ),
        *(
            f'say "DNS names" {quote(label)} "$(timeout 5 getent hosts {quote(name)})" &'
            for label, name in names
        ),
        *(f"there {quote(canary)}" for canary in canaries),
        f"echo written > {quote(written)}",
        _STOCK,
        "wait",
        "echo DONE",
    ]
    return _main("\n".join(lines))


def _main(body: str) -> str:
    return f"{_FUNCTIONS}\nmain() {{\n{body}\n}}\nexport LC_ALL=C\nmain </dev/null\n"


_FUNCTIONS: Final = r"""
say() { printf 'R\t%s\t%s\t%s\n' "$1" "$2" "$(printf %s "$3" | tr -s '\t\r\n' ' ' | head -c 300)"; }

# try PROBE NEIGHBOUR HOST PORT PATH WANTED: says what answered, if it holds what is wanted
try() {
  local got
  got=$(timeout 4 bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit
    printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3; timeout 3 head -c 600 <&3' \
    "$3" "$4" "$5" 2>/dev/null | tr -d '\0')
  case $got in *"$6"*) say "$1" "$2" "$3:$4 answered ${got%%$'\r'*}" ;; *) say "$1" "$2" "" ;; esac
}

# look NEIGHBOUR FILE PROCESS KEY PATH
look() {
  local found= f
  for f in "data-$2" "/mnt/data/data-$2" /proc/[0-9]*/root/mnt/data/"data-$2" /proc/[0-9]*/cwd/"data-$2"; do
    if [ -e "$f" ]; then found=$f; break; fi
  done
  case $files in *"data-$2"*) found=${found:-data-$2} ;; esac
  say files "$1" "$found"
  found=
  for f in "/tmp/tmp-$2" /proc/[0-9]*/root/tmp/"tmp-$2"; do if [ -e "$f" ]; then found=$f; break; fi; done
  case $files in *"tmp-$2"*) found=${found:-tmp-$2} ;; esac
  say /tmp "$1" "$found"
  found=
  case $commands in *"command-$3"*) found="a process's command line" ;; esac
  say processes "$1" "$found"
  found=
  case $environments in *"environment-$3"*) found="a process's environment" ;; esac
  say environment "$1" "$found"
  if [ -n "$4$5" ]; then
    found=
    if [ -n "$4" ]; then case $connections in *"$4"*) found="its connection file" ;; esac; fi
    if [ -n "$5" ]; then
      if [ -S "$5-1" ]; then found="$found its ZeroMQ socket $5-1"; fi
      case $sockets in *"$5"*) found="$found its ZeroMQ socket in /proc/net/unix" ;; esac
    fi
    say "kernel connection" "$1" "$found"
  fi
}

there() { if [ -e "$1" ]; then say "host files" - "$1"; else say "host files" - ""; fi; }
"""

_COLLECT: Final = r"""
local f parts files commands environments connections sockets
files=$(find . /mnt /tmp /run /home /root /var/tmp /dev/shm -maxdepth 6 -name "*$marks*" 2>/dev/null)
for f in /proc/[0-9]*; do
  parts=()
  mapfile -d '' -t parts < "$f/cmdline" && commands+=" ${parts[*]}"
  parts=()
  mapfile -d '' -t parts < "$f/environ" && environments+=" ${parts[*]}"
done 2>/dev/null
connections=$(find /tmp /run /home /root . -maxdepth 6 \
  \( -name 'connection*.json' -o -name 'kernel-*.json' \) -exec cat {} + 2>/dev/null)
sockets=$(cat /proc/net/unix 2>/dev/null)
"""

_STOCK: Final = r"""
local found= value name
for f in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock; do
  if [ -S "$f" ]; then found="$found $f"; fi
done
say "engine socket" - "$found"
found=
if [[ $environments =~ eyJ[A-Za-z0-9_-]{10,}\.eyJ ]]; then found="a bearer token"; fi
for name in $(compgen -e); do
  case $name in
    *TOKEN*|*SECRET*|*PASSWORD*|*APIKEY*|*API_KEY*|IDENTITY_*|AZURE_*|AWS_*) found="$found $name" ;;
  esac
done
say "secrets in environment" - "$found"
found=
for f in kernel/printk vm/overcommit_memory kernel/core_pattern; do
  # The value it has is written back, so that a hole is found without changing anything.
  if value=$(cat "/proc/sys/$f" 2>/dev/null) && { printf '%s\n' "$value" > "/proc/sys/$f"; } 2>/dev/null; then
    found="$found $f"
  fi
done
for f in /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/fs/cgroup/memory/release_agent; do
  if [ -w "$f" ]; then found="$found $f"; fi
done
say "/proc/sys writes" - "$found"
found=
for f in /dev/* /dev/mapper/*; do if [ -b "$f" ]; then found="$found $f"; fi; done
for f in /dev/mem /dev/kmem /dev/kmsg; do if [ -c "$f" ] && [ -r "$f" ]; then found="$found $f"; fi; done
say "devices" - "$found"
if command -v python3 >/dev/null; then
  say "raw sockets" - "$(python3 -c '
import socket
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, socket.IPPROTO_ICMP if family == socket.AF_INET else 0).close()
        print(family.name)
    except OSError:
        pass' 2>/dev/null)"
fi
while read -r _ name _; do
  if [ "$name" = 00000000 ]; then printf 'N\tdefault route\n'; fi
done < /proc/net/route
while read -r name value; do
  case $name in CapEff:|CapBnd:|NoNewPrivs:) printf 'S\t%s\t%s\n' "${name%:}" "$value" ;; esac
done < /proc/self/status
while read -r _ _ _ root point options rest; do
  value=${rest#*- }
  printf 'M\t%s\t%s\t%s\t%s\n' "$root" "$point" "${options%%,*}" "${value%% *}"
done < /proc/self/mountinfo
"""
