"""A model folder is used only as it was signed by us, and nothing that can hold code gets in."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paiid_pipeline.ml import signing
from paiid_pipeline.ml.signing import (
    SIGNATURE,
    SigningKey,
    UntrustedModelError,
    check_kinds,
    key_of,
    new_key,
    sign_folder,
    verify_folder,
)
from paiid_pipeline.settings import load_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "sub").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (made / "sub" / "vocab.txt").write_text("word\n")
    return made


def _swap(folder: Path) -> None:
    files = json.loads((folder / SIGNATURE).read_text())
    files["files"]["config.json"] = files["files"]["sub/vocab.txt"]
    (folder / SIGNATURE).write_text(json.dumps(files))


PICKLE = b"\x80\x04K\x01."
"""The number 1 in pickle's protocol 4: such a file could run code when it is read."""

TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed file": (lambda f: (f / "config.json").write_text("{ }"), r"config\.json was changed"),
    "one flipped bit": (
        lambda f: (f / "model.safetensors").write_bytes((3).to_bytes(8, "little") + b"{}"), "was changed",
    ),
    "an added file": (lambda f: (f / "more.json").write_text("{}"), r"more\.json was added"),
    "a missing file": (lambda f: (f / "sub" / "vocab.txt").unlink(), r"vocab\.txt is missing"),
    "a renamed file": (lambda f: (f / "config.json").rename(f / "other.json"), "is missing|was added"),
    "no signature": (lambda f: (f / SIGNATURE).unlink(), r"has no signature\.json"),
    "an edited list": (_swap, "not signed with our key"),
    "a broken signature": (lambda f: (f / SIGNATURE).write_text("[]"), "cannot be read"),
    "a link": (lambda f: (f / "x.json").symlink_to("/etc/passwd"), "is a link"),
    "a pickle": (lambda f: (f / "weights.bin").write_bytes(PICKLE), "may run code"),
    "a pickle named as safe": (lambda f: (f / "model.safetensors").write_bytes(PICKLE), "may run code"),
    "a pickle named as text": (lambda f: (f / "config.json").write_bytes(PICKLE), "may run code"),
    "code": (lambda f: (f / "modeling.py").write_text("1"), "may run code"),
}  # fmt: skip


@pytest.mark.parametrize("change", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found_and_named(
    folder: Path, key: SigningKey, change: tuple[Callable[[Path], object], str]
) -> None:
    digest = sign_folder(folder, key)
    assert verify_folder(folder, key.public) == digest
    change[0](folder)
    with pytest.raises(UntrustedModelError, match=change[1]):
        verify_folder(folder, key.public)


def test_a_torch_archive_is_refused_under_any_name(folder: Path, key: SigningKey) -> None:
    with zipfile.ZipFile(folder / "model.onnx", "w") as archive:
        archive.writestr("data.pkl", PICKLE)
    with pytest.raises(
        UntrustedModelError, match=r"may run code when it is loaded.*delete it: the safetensors beside it"
    ):
        sign_folder(folder, key)
    with pytest.raises(UntrustedModelError, match=r"model\.onnx"):
        check_kinds(folder)


def test_another_key_is_not_ours_even_where_its_signature_holds(folder: Path, key: SigningKey) -> None:
    sign_folder(folder, SigningKey(b"x" * 32))
    with pytest.raises(UntrustedModelError, match="not signed with our key"):
        verify_folder(folder, key.public)


def test_signing_is_a_function_of_content_and_key(folder: Path, key: SigningKey) -> None:
    assert sign_folder(folder, key) == sign_folder(folder, key)
    before = (folder / SIGNATURE).read_bytes()
    sign_folder(folder, key)
    assert (folder / SIGNATURE).read_bytes() == before


def test_a_new_key_is_for_its_owner_only_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "model.key"
    made = new_key(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert new_key(path).public == made.public


def test_the_key_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    secret = bytes(range(32)).hex()
    file = tmp_path / "key"
    file.write_text(secret + "\n")
    key = key_of(load_settings({"PAIID_MODEL_KEY": secret}))
    assert key.public == key_of(load_settings({"PAIID_MODEL_KEY_FILE": str(file)})).public
    assert secret not in repr(key)
    with pytest.raises(LookupError, match="64 hex digits"):
        key_of(load_settings({"PAIID_ENV": "prod"}))


def test_without_one_in_the_environment_the_own_one_is_made_once_and_read_from_then_on(tmp_path: Path) -> None:
    own = tmp_path / "home" / "model.key"
    home = {"PAIID_HOME": str(own.parent)}
    with ThreadPoolExecutor(8) as threads:
        made = {key.public for key in threads.map(lambda _: key_of(load_settings(home)), range(16))}
    assert made == {new_key(own).public}
    assert [path.name for path in own.parent.iterdir()] == ["model.key"]
    assert key_of(load_settings({"PAIID_MODEL_KEY": bytes(range(32)).hex(), **home})).public not in made


def test_a_folder_is_hashed_once_and_again_when_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is loaded for; one that was changed a moment ago is not trusted to show its next change."""
    key, hashed = SigningKey(bytes(32)), list[str]()
    digest = sign_folder(folder, key)
    sha256 = signing._sha256
    monkeypatch.setattr(signing, "_sha256", lambda path: hashed.append(path.name) or sha256(path))
    for _ in range(2):
        assert verify_folder(folder, key.public) == digest
    assert len(hashed) == 6
    monkeypatch.setattr(signing, "_SETTLED_SECONDS", -3600.0)
    for _ in range(3):
        assert verify_folder(folder, key.public) == digest
    assert len(hashed) == 9
    (folder / "config.json").write_text("{   }")
    with pytest.raises(UntrustedModelError, match=r"config\.json was changed"):
        verify_folder(folder, key.public)
    with pytest.raises(UntrustedModelError, match="not signed with our key"):
        verify_folder(folder, SigningKey(bytes([1] * 32)).public)
