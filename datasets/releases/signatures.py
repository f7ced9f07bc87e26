"""Signatures of releases and exports, in minisign's format: `minisign -V -m SHA256SUMS -p KEY.pub` checks them, too.

What is signed is SHA256SUMS, which has the sum of every file. Ed25519 by py-minisign (the extra `sign`), offline and
without an account, which sigstore would need.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec

from datasets.files import join_path, read_json, write_bytes
from datasets.outside_text import one_line
from datasets.releases.exports import EXPORT_FILE
from datasets.releases.layout import MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE
from datasets.releases.shards import ReleaseError


def read_secret_key(path: Path, password: str | None) -> Any:
    """The key of a file that `minisign -G` wrote.

    Raises:
        ReleaseError: no key there, or another password than the key's.
    """
    minisign = _import_minisign()
    try:
        key = minisign.SecretKey.from_file(path)
        if key.is_encrypted():
            if not password:
                raise ReleaseError(
                    f"{path} has a password: set MINISIGN_PASSWORD, or make a key without by minisign -G -W"
                )
            key.decrypt(password)
    except (minisign.Error, OSError) as error:
        raise ReleaseError(f"{path}: no key to sign with: {one_line(str(error))}") from error
    return key


def sign_release(release: Path, key: Any) -> None:
    """Write the signature of a release, or of an export of one, beside its sums."""
    told = read_json(release / MANIFEST_FILE) or read_json(release / EXPORT_FILE)
    comment = " ".join(told[name] for name in ("name", "version", "format") if name in told)
    signature = key.sign((release / SUMS_FILE).read_bytes(), trusted_comment=comment)
    write_bytes(release / SIGNATURE_FILE, bytes(signature) + b"\n")


def read_public_key(text: str) -> Any:
    """The key that somebody gave: a file `minisign -G` wrote, or the line of 56 characters in it.

    Raises:
        ReleaseError: neither.
    """
    minisign = _import_minisign()
    try:
        path = Path(text)
        return minisign.PublicKey.from_file(path) if path.is_file() else minisign.PublicKey.from_base64(text)
    except (minisign.Error, OSError, ValueError) as error:
        told = f"{one_line(text)!r}: neither a file nor a public key of minisign"
        raise ReleaseError(f"{told}: {one_line(str(error))}") from error


def check_signature(release: str | Path, key: Any) -> list[str]:
    """What does not hold of a release's signature: nothing, or one line."""
    minisign = _import_minisign()
    fs, base = fsspec.core.url_to_fs(str(release))
    try:
        signature = minisign.Signature.from_bytes(fs.cat_file(join_path(base, SIGNATURE_FILE)))
        key.verify(fs.cat_file(join_path(base, SUMS_FILE)), signature)
    except FileNotFoundError:
        return [f"{SIGNATURE_FILE}: missing: it is not signed"]
    except (minisign.Error, ValueError) as error:
        return [f"{SIGNATURE_FILE}: not the signature of this key over {SUMS_FILE}: {one_line(str(error))}"]
    return []


def _import_minisign() -> Any:
    try:
        return import_module("minisign")
    except ImportError as error:
        raise ReleaseError("signatures need the package py-minisign: run `make setup-sign`") from error
