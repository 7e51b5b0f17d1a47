"""The files that a client logs in with: irods_environment.json and the obfuscated password beside it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from irods.password_obfuscation import encode

ENVIRONMENT_FILE = "irods_environment.json"
PASSWORD_FILE = "irodsA"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in, and where."""

    host: str
    port: int
    zone: str
    user: str
    password: str
    default_resource: str


def write_environment(directory: Path, account: Account) -> Path:
    """Write both files, readable by their owner alone; the path of the environment file."""
    uid = os.getuid()
    password_file = directory / PASSWORD_FILE
    environment = {
        "irods_host": account.host,
        "irods_port": account.port,
        "irods_user_name": account.user,
        "irods_zone_name": account.zone,
        "irods_home": f"/{account.zone}/home/{account.user}",
        "irods_cwd": f"/{account.zone}/home/{account.user}",
        "irods_default_resource": account.default_resource,
        "irods_default_hash_scheme": "SHA256",
        "irods_client_server_policy": "CS_NEG_REFUSE",
        "irods_authentication_scheme": "native",
        "irods_authentication_file": str(password_file),
        "irods_authentication_uid": uid,
    }
    write_private(password_file, encode(account.password, uid))
    write_private(directory / ENVIRONMENT_FILE, json.dumps(environment, indent=2) + "\n")
    return directory / ENVIRONMENT_FILE


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read."""
    temporary = path.with_name(path.name + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
