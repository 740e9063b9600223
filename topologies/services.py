"""What the hosts of the lab's networks serve: the same files by HTTP (nginx) and FTP (vsftpd).

Each host has a directory of its own, the *prefix*: configuration, logs, and the files below
`pages`. All but `furnish`, which writes them, is pure.
"""

import shutil
from pathlib import Path

from topologies.hosts import LabError

# Files of nothing but zeros, by size.
FILES = {"1M": 1 << 20, "100M": 100 << 20, "1G": 1 << 30}
INCOMING = "incoming"  # below pages: where anonymous users of FTP may put files
FTP_USER = "ftp"  # of Debian's package, and vsftpd's default for whoever is anonymous


def servers(prefix: Path) -> dict[str, list[str]]:
    """The commands of a host's servers, which stay in the foreground, by what they serve."""
    return {
        "web": ["nginx", "-p", str(prefix), "-c", "nginx.conf", "-e", "error.log"],
        # It complains to its standard input, which is a client if inetd started it.
        "ftp": ["sh", "-c", 'exec vsftpd "$1" <&1', "sh", str(prefix / "vsftpd.conf")],
    }


def furnish(prefix: Path, host: str) -> None:
    """Makes a host's directory. LabError if this machine has no vsftpd's user."""
    for path, text in files(prefix, host).items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)
    for name, size in FILES.items():
        with (prefix / "pages" / name).open("wb") as zeros:
            zeros.truncate(size)
    (prefix / "empty").mkdir()
    incoming = prefix / "pages" / INCOMING
    incoming.mkdir()
    try:
        shutil.chown(incoming, FTP_USER)
    except LookupError as error:
        raise LabError(f"{error}: Debian's vsftpd brings it, 'sudo script/setup'") from error


def files(prefix: Path, host: str) -> dict[str, str]:
    """The text files that a host's servers need, by their path below its directory."""
    return {
        "nginx.conf": _web_config(),
        "vsftpd.conf": _ftp_config(prefix),
        "pages/index.html": f"{host}\n",
    }


def _web_config() -> str:
    """nginx on ports 80, 443 (without TLS, too) and 8000. Its log has who asked, by what port."""
    ports = "\n".join(f"    listen {port} backlog=4096 fastopen=256;" for port in (80, 443, 8000))
    modules = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    scratch = " ".join(f"{module}_temp_path tmp;" for module in modules)
    return f"""\
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 8192; }}
http {{
  default_type text/plain;
  sendfile on;
  keepalive_requests 1000000;
  log_format who '$remote_addr $remote_port $server_port $request_uri $status';
  access_log access.log who;
  {scratch}
  server {{
{ports}
    root pages;
  }}
}}
"""


def _ftp_config(prefix: Path) -> str:
    """vsftpd on port 21 for anonymous users: passive and active, downloads and uploads.

    It connects to clients from port 20 (RFC 959, section 3.2), and takes a data connection only
    from and to the address that it sees the control connection come from, which is its default:
    what a gateway translates must fit together. Its passive ports are those of no other service: a
    data session to port 6667 is one of IRC's to a rule that gives those a helper. It has no sandbox
    of its own within the lab's.
    """
    return f"""\
listen=YES
background=NO
anonymous_enable=YES
local_enable=NO
anon_root={prefix}/pages
secure_chroot_dir={prefix}/empty
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_umask=022
pasv_enable=YES
pasv_min_port=10000
pasv_max_port=32767
port_enable=YES
connect_from_port_20=YES
max_clients=0
max_per_ip=0
xferlog_enable=NO
syslog_enable=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
"""
