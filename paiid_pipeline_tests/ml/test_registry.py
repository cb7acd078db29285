"""The register keeps what a model is and was trained on, and hands out only what was signed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from paiid_pipeline.ml.registry import ModelSignature, Registry, RegistryError, Version, installed
from paiid_pipeline.ml.signing import SigningKey, UntrustedModelError, verify_folder
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.ml.verdict import GateResult

YES, NO = GateResult(True, ("better than majority",)), GateResult(False, ("not better than champion",))


def _model(tmp_path: Path, content: str) -> Path:
    folder = tmp_path / f"model-{content}"
    folder.mkdir()
    (folder / "config.json").write_text(content)
    return folder


def _register(registry: Registry, folder: Path, key: SigningKey) -> Version:
    return registry.register(
        "custom-bert", folder, key, data_sha256="d" * 64, metrics={"accuracy": 0.9}, parameters={"seed": 1},
        interface=TEXTS,
        documents={"evaluation": {"accuracy": [0.9, 0.8, 1.0]}}, plots={"reliability": b"\x89PNG"},
    )  # fmt: skip


def test_a_version_carries_its_signature_example_evaluation_data_and_digest(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    made = _register(registry, _model(tmp_path, "1"), key)
    assert (made.version, made.data_sha256, made.metrics["accuracy"]) == (1, "d" * 64, 0.9)
    assert made.aliases == ()
    import mlflow

    model = mlflow.models.Model.load("models:/custom-bert/1")
    assert [column.name for column in model.signature.outputs.inputs] == ["p_negative", "p_neutral", "p_positive"]
    assert list(model.load_input_example().columns) == ["text", "entity"]
    assert model.flavors["paiid"]["digest"] == made.digest
    stored = {file.path for file in mlflow.MlflowClient().list_artifacts(made.run_id)}
    assert {"evaluation.json", "plots"} <= stored


def test_a_model_of_another_kind_says_what_it_reads_and_answers(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    interface = ModelSignature(
        {"rsi_14": "double", "note": "string"}, ["p_up"], {"rsi_14": 31.5, "note": "x"}, frozenset({"note"})
    )
    made = registry.register(
        "signal_model", _model(tmp_path, "1"), key, data_sha256="d", metrics={}, parameters={}, interface=interface
    )
    import mlflow

    model = mlflow.models.Model.load(f"models:/signal_model/{made.version}")
    assert [(c.name, c.type.name, c.required) for c in model.signature.inputs.inputs] == [
        ("rsi_14", "double", True), ("note", "string", False),
    ]  # fmt: skip
    assert model.load_input_example().to_dict("records") == [{"rsi_14": 31.5, "note": "x"}]
    assert mlflow.get_experiment_by_name("signal_model") is not None


@pytest.mark.parametrize("url", ["http://user:hunter2@127.0.0.1:9", "elsewhere://x"])
def test_a_register_that_cannot_be_used_is_said_without_its_password(url: str) -> None:
    with pytest.raises(RegistryError, match="check PAIID_MLFLOW_URL") as caught:
        Registry(url).reach()
    assert "hunter2" not in str(caught.value)


FIRST_USE = "import sys; from paiid_pipeline.ml.registry import Registry; Registry(sys.argv[1]).reach()"


@pytest.mark.slow
def test_two_processes_at_once_make_one_register(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    started = [subprocess.Popen([sys.executable, "-c", FIRST_USE, url], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    assert not (tmp_path / "mlflow" / "mlflow.db.new").exists()
    Registry(url).reach()


def test_what_a_kill_left_at_the_first_use_is_made_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db.new") as half:
        half.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    half.close()
    (tmp_path / "mlflow.db.new-journal").touch()
    Registry(f"sqlite:///{tmp_path / 'mlflow.db'}").reach()
    assert not (tmp_path / "mlflow.db.new").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such column: experiments.name"),
        (b"this is no database" * 100, "file is not a database"),
    ],
)
def test_a_register_left_half_made_says_why_and_what_to_do(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "mlflow.db"
    if content is None:
        with sqlite3.connect(path) as half:
            half.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        half.close()
    else:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match=rf"{reason}.*move {path} away and import or train anew"):
        Registry(f"sqlite:///{path}").reach()


def test_only_a_challenger_that_passed_the_gate_becomes_champion(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    assert registry.champion("custom-bert") is None
    first = _register(registry, _model(tmp_path, "1"), key)
    second = _register(registry, _model(tmp_path, "2"), key)
    assert registry.promote("custom-bert", first.version, YES)
    assert not registry.promote("custom-bert", second.version, NO)
    champion = registry.champion("custom-bert")
    assert champion is not None
    assert (champion.version, champion.digest) == (1, first.digest)
    assert [row.version for row in registry.versions("custom-bert")] == [2, 1]
    assert registry.versions("another") == []
    with pytest.raises(LookupError, match="no version 7"):
        registry.promote("custom-bert", 7, YES)


def test_a_run_pins_the_champion_and_keeps_it_until_it_installs_another(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with pytest.raises(LookupError, match="no champion: train one and promote it"):
        registry.install("custom-bert", home, key.public)
    with pytest.raises(LookupError, match="is not installed"):
        installed("custom-bert", home, key.public)
    for content in ("1", "2"):
        registry.promote("custom-bert", _register(registry, _model(tmp_path, content), key).version, YES)
        if content == "1":
            registry.install("custom-bert", home, key.public)
    pinned = installed("custom-bert", home, key.public)
    assert (pinned.version, (pinned.folder / "config.json").read_text()) == (1, "1")
    registry.install("custom-bert", home, key.public)
    moved = installed("custom-bert", home, key.public)
    assert (moved.version, (moved.folder / "config.json").read_text()) == (2, "2")
    assert verify_folder(moved.folder, key.public) == moved.digest


def test_files_that_were_changed_in_the_register_or_at_home_are_refused(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    registry.promote("custom-bert", _register(registry, _model(tmp_path, "1"), key).version, YES)
    registry.install("custom-bert", tmp_path / "home", key.public)
    (tmp_path / "home" / "custom-bert" / "1" / "config.json").write_text("changed")
    with pytest.raises(UntrustedModelError, match=r"config\.json was changed"):
        installed("custom-bert", tmp_path / "home", key.public)
    (stored,) = (tmp_path / "artifacts").rglob("config.json")
    stored.write_text("changed")
    with pytest.raises(UntrustedModelError, match=r"config\.json was changed"):
        registry.install("custom-bert", tmp_path / "elsewhere", key.public)
    assert not (tmp_path / "elsewhere" / "custom-bert" / "1").exists()


def test_another_signed_version_in_the_place_of_the_pinned_one_is_refused(
    registry: Registry, key: SigningKey, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    for content in ("1", "2"):
        registry.promote("custom-bert", _register(registry, _model(tmp_path, content), key).version, YES)
        registry.install("custom-bert", home, key.public)
    old, new = home / "custom-bert" / "1", home / "custom-bert" / "2"
    for path in new.iterdir():
        path.unlink()
    for path in old.iterdir():
        (new / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UntrustedModelError, match="is not the version"):
        installed("custom-bert", home, key.public)


def test_a_folder_with_a_pickle_is_not_registered(registry: Registry, key: SigningKey, tmp_path: Path) -> None:
    folder = _model(tmp_path, "1")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UntrustedModelError, match=r"pytorch_model\.bin may run code"):
        _register(registry, folder, key)
    assert registry.versions("custom-bert") == []
