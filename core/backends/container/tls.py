"""How an engine behind TLS is trusted, and how Stoker shows who it is: Docker's own files and variables.

Source: https://docs.docker.com/engine/security/protect-access/
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.tls import TLSConfig

__all__ = ["Tls", "context_tls", "environment_tls"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in Docker's format; None where there is none. Without `verify` any engine is taken for the right one."""

    ca: Path | None
    certificate: Path | None
    key: Path | None
    verify: bool

    def config(self) -> TLSConfig:
        """As the SDK takes it. Raises its TLSParameterError where a file is missing."""
        from docker.tls import TLSConfig

        pair = (str(self.certificate), str(self.key)) if self.certificate and self.key else None
        return TLSConfig(client_cert=pair, ca_cert=str(self.ca) if self.ca else None, verify=self.verify)

    def context(self) -> ssl.SSLContext:
        """As the standard library takes it. Raises OSError (ssl.SSLError among them) for files that are no such."""
        found = ssl.create_default_context(cafile=str(self.ca) if self.ca and self.verify else None)
        if not self.verify:
            found.check_hostname = False
            found.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            found.load_cert_chain(self.certificate, self.key)
        return found


def environment_tls(env: Mapping[str, str], config: Path) -> Tls | None:
    """What DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH ask for; `config` is Docker's folder."""
    verify = bool(env.get("DOCKER_TLS_VERIFY"))
    if not verify and not env.get("DOCKER_TLS"):
        return None
    return _files(Path(env.get("DOCKER_CERT_PATH") or config), verify)


def context_tls(config: Path, context: str, *, skip_verify: bool) -> Tls | None:
    """The TLS material that Docker keeps for a context, under its name's digest."""
    folder = config / "contexts" / "tls" / hashlib.sha256(context.encode()).hexdigest() / "docker"
    return _files(folder, not skip_verify) if folder.is_dir() or skip_verify else None


def _files(folder: Path, verify: bool) -> Tls:
    ca, certificate, key = (
        path if path.exists() else None for path in (folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    )
    return Tls(ca, certificate, key, verify)
