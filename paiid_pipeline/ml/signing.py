"""Signed model folders, verified before any file is parsed.

A folder's ``signature.json`` holds the SHA-256 of every other file and an Ed25519 signature over that list.
Training needs the private key, serving only the public one, which is derived from it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from paiid_pipeline.clock import SystemClock

if TYPE_CHECKING:
    from paiid_pipeline.settings import Settings

SIGNATURE: Final = "signature.json"
ALLOWED: Final = frozenset({".safetensors", ".onnx", ".json", ".txt", ".md"})
"""Suffixes allowed in a model folder; none of a format that can hold a pickle."""

KEY_VARIABLE: Final = "PAIID_MODEL_KEY"

_SETTLED_SECONDS = 2.0
_VERIFIED: Final[dict[tuple[Path, bytes], tuple[list[_Entry], str]]] = {}
"""By folder and public key: the files of a folder verified in this process, and its digest."""

KeySource = Callable[[], "SigningKey"]
"""Opens the key when first needed. Raises LookupError with the remedy where there is none."""


class UntrustedModelError(Exception):
    """A model folder whose signature does not hold. The message names the file and the remedy."""


class SigningKey:
    """An Ed25519 key from a secret of 32 bytes, which its repr does not show."""

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if len(secret) != 32:
            raise ValueError(f"a model key has 32 bytes (64 hex digits), not {len(secret)}: make one with new_key()")
        self._private = Ed25519PrivateKey.from_private_bytes(secret)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes; deterministic."""
        return self._private.sign(message)


def new_key(path: Path) -> SigningKey:
    """Write a new secret as hex digits to ``path``, readable by its owner only; an existing file is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Linked into place whole, so that processes racing for the first key all read the same one.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft, suppress(FileExistsError):
            draft.write(os.urandom(32).hex() + "\n")
            draft.flush()
            os.link(draft.name, path)
    return key_from_file(path)


def key_from_file(path: Path) -> SigningKey:
    """Read a key of :func:`new_key`. Raises ValueError, without the content, where malformed."""
    return _key(path.read_text(), str(path))


def key_of(settings: Settings) -> SigningKey:
    """The key of the settings; in dev without one, that under the home, created when first needed.

    Raises LookupError with the remedy where a required key is not set.
    """
    if settings.model_key is not None:
        return _key(settings.model_key.get_secret_value(), KEY_VARIABLE)
    if settings.own_model_key is not None:
        return new_key(settings.own_model_key)
    raise LookupError(
        f"{KEY_VARIABLE} is not set: give 64 hex digits (`openssl rand -hex 32` makes them), or a file of them in "
        f"{KEY_VARIABLE}_FILE"
    )


def sign_folder(folder: Path, key: SigningKey) -> str:
    """Sign all files of ``folder`` and return the digest of the list, in hex.

    Raises UntrustedModelError where a file is of a kind that is not allowed.
    """
    files = {name: _sha256(folder / name) for name in _names(folder)}
    message = _message(files)
    document = {"files": files, "public_key": key.public.hex(), "signature": key.sign(message).hex()}
    (folder / SIGNATURE).write_text(json.dumps(document, indent=1, sort_keys=True))
    return hashlib.sha256(message).hexdigest()


def verify_folder(folder: Path, public: bytes) -> str:
    """Verify a folder signed by the owner of ``public``, and return its digest.

    Hashes bytes: no weights, configuration or tokenizer is parsed. A folder is hashed once a process, and again when
    the name, inode, size or times of one of its files change. Raises UntrustedModelError, naming the file and the
    remedy, where the folder is unsigned or signed by another key, or a file was changed, added or removed, is a link,
    or is of a kind that is not allowed.
    """
    before, stamp = SystemClock().now().timestamp(), _stamp(folder)
    known = _VERIFIED.get((folder, public))
    if known is not None and known[0] == stamp:
        return known[1]
    digest = _verified(folder, public)
    # A change within the clock tick of the last one leaves the same times: such a folder is hashed again.
    if max((entry.changed for entry in stamp), default=0) < (before - _SETTLED_SECONDS) * 1e9:
        _VERIFIED[folder, public] = stamp, digest
    return digest


class _Entry(NamedTuple):
    """The identity and version of a file or folder; times in nanoseconds."""

    name: str
    inode: int
    size: int
    modified: int
    changed: int


def _stamp(folder: Path) -> list[_Entry]:
    found = sorted((path.relative_to(folder).as_posix(), path.lstat()) for path in folder.rglob("*"))
    return [_Entry(name, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for name, each in found]


def _verified(folder: Path, public: bytes) -> str:
    names = _names(folder)
    files, signature, signer = _read_signature(folder)
    message = _message(files)
    if not hmac.compare_digest(signer, public) or not _is_signed(message, signature, public):
        raise UntrustedModelError(
            f"{folder} is not signed with our key: register it again with the key of {KEY_VARIABLE}, "
            "and only if you know where it comes from"
        )
    for name in sorted(set(names) | set(files)):
        if name not in files:
            raise UntrustedModelError(f"{folder / name} was added after signing: delete it, or register again")
        if name not in names:
            raise UntrustedModelError(f"{folder / name} is missing: fetch the model again")
        if not hmac.compare_digest(_sha256(folder / name), files[name]):
            raise UntrustedModelError(f"{folder / name} was changed after signing: fetch the model again")
    return hashlib.sha256(message).hexdigest()


def check_kinds(folder: Path) -> None:
    """Raise UntrustedModelError, naming the file, where a folder holds a link or a file that could hold a pickle.

    For folders from outside, before import.
    """
    _names(folder)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UntrustedModelError(f"{folder} is no folder: give the folder of a model")
    names: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise UntrustedModelError(f"{path} is a link: put the file itself there")
        if path.is_dir() or name == SIGNATURE:
            continue
        if path.suffix not in ALLOWED or looks_pickled(path):
            raise UntrustedModelError(may_run_code(path))
        names.append(name)
    return names


def may_run_code(path: Path) -> str:
    """The message for a refused file, with the remedy."""
    beside = any(path.parent.glob("*.safetensors")) and path.suffix != ".safetensors"
    remedy = "delete it: the safetensors beside it are what is read" if beside else "convert the weights to safetensors"
    return f"{path} may run code when it is loaded: only {', '.join(sorted(ALLOWED))} are accepted; {remedy}"


def looks_pickled(path: Path) -> bool:
    """Whether a file begins like a pickle, or its header does not match its suffix."""
    with path.open("rb") as file:
        head = file.read(9)
    if path.suffix == ".safetensors":
        return head[8:] != b"{"
    # A pickle of protocol 2 or later, or the zip archive that torch writes around one.
    return (head[:1] == b"\x80" and head[1:2] <= b"\x05") or head[:4] == b"PK\x03\x04"


def _read_signature(folder: Path) -> tuple[dict[str, str], bytes, bytes]:
    try:
        document = json.loads((folder / SIGNATURE).read_text())
        files = {str(name): str(value) for name, value in document["files"].items()}
        return files, bytes.fromhex(document["signature"]), bytes.fromhex(document["public_key"])
    except FileNotFoundError:
        raise UntrustedModelError(f"{folder} has no {SIGNATURE}: import or register the model first") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UntrustedModelError(f"{folder / SIGNATURE} cannot be read: register the model again") from None


def _message(files: Mapping[str, str]) -> bytes:
    return b"paiid model 1\n" + json.dumps(files, sort_keys=True, separators=(",", ":")).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_signed(message: bytes, signature: bytes, public: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _key(text: str, where: str) -> SigningKey:
    try:
        return SigningKey(bytes.fromhex(text.strip()))
    except ValueError:
        raise ValueError(f"{where} does not hold a model key: it should be 64 hex digits") from None
