"""What the lab's hosts serve, as text and as files."""

from pathlib import Path

import pytest

from topologies import services
from topologies.hosts import LabError
from topologies.services import FILES, files, furnish, servers

PREFIX = Path("/run/synod-lab/x/web/dmz")


def ftp_settings(prefix: Path = PREFIX) -> dict[str, str]:
    lines = files(prefix, "dmz")["vsftpd.conf"].splitlines()
    return dict(line.split("=") for line in lines)


def test_a_page_says_whose_it_is() -> None:
    assert files(PREFIX, "dmz")["pages/index.html"] == "dmz\n"


def test_servers_run_below_the_hosts_directory_and_stay_in_the_foreground() -> None:
    found = servers(PREFIX)
    assert found["web"][:3] == ["nginx", "-p", str(PREFIX)]
    assert "daemon off;" in files(PREFIX, "dmz")["nginx.conf"]
    assert found["ftp"][-1] == f"{PREFIX}/vsftpd.conf"
    assert ftp_settings()["background"] == "NO"


def test_ftp_is_anonymous_for_the_web_servers_files_in_every_mode() -> None:
    """vsftpd takes settings as they stand, without a space anywhere (vsftpd.conf(5))."""
    settings = ftp_settings()
    assert not any(" " in word for pair in settings.items() for word in pair)
    assert settings["anon_root"] == f"{PREFIX}/pages"
    assert settings["local_enable"] == "NO"
    wanted = {"listen", "anonymous_enable", "anon_upload_enable", "write_enable"}
    wanted |= {"anon_mkdir_write_enable", "pasv_enable", "port_enable", "connect_from_port_20"}
    assert wanted == {name for name, value in settings.items() if value == "YES"}


def test_ftp_neither_logs_elsewhere_nor_sandboxes_itself() -> None:
    settings = ftp_settings()
    silent = {"xferlog_enable", "syslog_enable", "seccomp_sandbox", "isolate", "isolate_network"}
    assert silent <= {name for name, value in settings.items() if value == "NO"}


def test_a_host_gets_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: dict[str, str] = {}
    monkeypatch.setattr(
        services.shutil, "chown", lambda path, user: owners.update({path.name: user})
    )
    furnish(tmp_path / "server", "server")
    pages = tmp_path / "server" / "pages"
    assert (pages / "index.html").read_text() == "server\n"
    assert {name: (pages / name).stat().st_size for name in FILES} == FILES
    assert owners == {"incoming": "ftp"}
    assert not [*Path(ftp_settings(tmp_path / "server")["secure_chroot_dir"]).iterdir()]


def test_a_machine_without_vsftpds_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "FTP_USER", "nobody-of-that-name")
    with pytest.raises(LabError, match="nobody-of-that-name"):
        furnish(tmp_path / "server", "server")
