"""The model registry in MLflow: versions, their data, parameters and metrics, and the champion.

MLflow takes 1.4 s to import, so runs of every minute do not: they load what :meth:`Registry.install` has written to a
folder (:func:`installed`).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from paiid_pipeline.atomic_files import write_text
from paiid_pipeline.ml.signing import SigningKey, UntrustedModelError, sign_folder, verify_folder
from paiid_pipeline.ml.verdict import GateResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION: Final = "champion"

_SETTINGS: Final = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_FILES = "model"
_SQLITE = "sqlite:///"
_BETWEEN = " | "
_EXAMPLE = "input_example.json"


class RegistryError(RuntimeError):
    """The registry cannot be used. The message names the address, without its password."""


@dataclass(frozen=True)
class ModelSignature:
    """The inputs and outputs of a model, with an example."""

    inputs: Mapping[str, Literal["string", "double"]]
    outputs: Sequence[str]
    """Each a double."""
    example: Mapping[str, object]
    """A value by input."""
    optional: frozenset[str] = frozenset()
    """Inputs that may be left out."""


@dataclass(frozen=True)
class Version:
    """One registered version of a model."""

    name: str
    version: int
    digest: str
    """SHA-256 of the signed list of its files, in hex."""
    data_sha256: str
    run_id: str
    aliases: tuple[str, ...]
    created: datetime
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    gate: tuple[str, ...]
    """The gate's reasons; empty before the gate."""


@dataclass(frozen=True)
class InstalledModel:
    """A verified version in a local folder."""

    name: str
    version: int
    digest: str
    folder: Path


class Registry:
    """Models kept in MLflow at ``url``: a database (``sqlite:///…``, ``postgresql://…``) or a server (``http://…``)."""

    def __init__(self, url: str, artifacts: Path | None = None) -> None:
        """``artifacts``: the folder of the files; None: the server's own."""
        self._url = url
        self._artifacts = artifacts
        self._reached = False

    def reach(self) -> None:
        """Raise RegistryError, with the remedy, where the registry cannot be used."""
        self._mlflow()

    def register(
        self,
        name: str,
        folder: Path,
        key: SigningKey,
        *,
        data_sha256: str,
        metrics: Mapping[str, float],
        parameters: Mapping[str, object],
        documents: Mapping[str, object] | None = None,
        plots: Mapping[str, bytes] | None = None,
        interface: ModelSignature,
    ) -> Version:
        """Sign ``folder`` and store it as the next version of ``name``, with a run in the experiment of that name.

        ``metrics``: on held-out rows; ``documents``: JSON values (the whole evaluation, the confusion matrix);
        ``plots``: PNG images, by name. Raises UntrustedModelError where the folder holds a file that is not allowed.
        """
        digest = sign_folder(folder, key)
        tags = {"digest": digest, "data_sha256": data_sha256}
        mlflow, client = self._mlflow()
        with mlflow.start_run(experiment_id=self._experiment_id(client, name), run_name=name):
            mlflow.log_params({k: str(v)[:500] for k, v in parameters.items()})
            mlflow.log_metrics(dict(metrics))
            mlflow.set_tags(tags)
            for title, document in (documents or {}).items():
                mlflow.log_dict(document, f"{title}.json")
            _log_plots(mlflow, plots or {})
            made = mlflow.models.Model.log(
                artifact_path=None,
                name=_FILES,
                flavor=SimpleNamespace(save_model=_save_model, __name__="paiid"),
                registered_model_name=name,
                folder=folder,
                digest=digest,
                interface=interface,
            )
        version = str(made.registered_model_version)
        for tag, value in tags.items():
            client.set_model_version_tag(name, version, tag, value)
        return self._version(client, client.get_model_version(name, version))

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        _, client = self._mlflow()
        return sorted(model.name for model in client.search_registered_models())

    def versions(self, name: str) -> list[Version]:
        """All versions of ``name``, newest first; empty for an unknown model."""
        _, client = self._mlflow()
        found = client.search_model_versions(f"name = '{_plain(name)}'")
        # Only get_model_version returns the aliases.
        rows = [self._version(client, client.get_model_version(name, each.version)) for each in found]
        return sorted(rows, key=lambda row: row.version, reverse=True)

    def champion(self, name: str) -> Version | None:
        """The version with the alias ``champion``; None where there is none."""
        return next((row for row in self.versions(name) if CHAMPION in row.aliases), None)

    def promote(self, name: str, version: int, verdict: GateResult) -> bool:
        """Set the alias ``champion`` to ``version`` if the verdict is to promote; stores the reasons as its tag."""
        _, client = self._mlflow()
        self._stored(client, name, version)
        client.set_model_version_tag(name, str(version), "gate", _BETWEEN.join(verdict.reasons)[:4900])
        if verdict.promote:
            client.set_registered_model_alias(name, CHAMPION, str(version))
        return verdict.promote

    def fetch(self, name: str, version: int, to: Path, public: bytes) -> Path:
        """The files of one version in the folder ``to``, verified before anything reads them.

        Raises LookupError where there is no such version, UntrustedModelError where the stored files are not those
        signed; then ``to`` is unchanged.
        """
        mlflow, client = self._mlflow()
        stored = self._stored(client, name, version)
        with tempfile.TemporaryDirectory(dir=_parent(to)) as scratch:
            mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=scratch)
            folder = Path(scratch) / _FILES
            digest = verify_folder(folder, public)
            if digest != stored.tags.get("digest"):
                raise UntrustedModelError(f"{name} version {version} holds another version's files: register it again")
            shutil.rmtree(to, ignore_errors=True)
            shutil.move(folder, to)
        return to

    def install(self, name: str, home: Path, public: bytes) -> InstalledModel:
        """Put the champion's files under ``home`` and pin it there for :func:`installed`.

        Raises LookupError with the remedy where ``name`` has no champion.
        """
        champion = self.champion(name)
        if champion is None:
            raise LookupError(f"{name} has no champion: train one and promote it (paiid models promote {name})")
        folder = home / name / str(champion.version)
        if not _intact(folder, champion.digest, public):
            self.fetch(name, champion.version, folder, public)
        pin = {"version": champion.version, "digest": champion.digest}
        write_text(home / name / "champion.json", json.dumps(pin))
        return installed(name, home, public)

    def _mlflow(self) -> tuple[Any, MlflowClient]:
        os.environ.update(_SETTINGS)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        if self._url.startswith(_SQLITE):
            _make_once(Path(self._url.removeprefix(_SQLITE)), mlflow)
        mlflow.set_tracking_uri(self._url)
        mlflow.set_registry_uri(self._url)
        return mlflow, self._client(mlflow)

    def _client(self, mlflow: Any) -> MlflowClient:
        try:
            client: MlflowClient = mlflow.MlflowClient(self._url, self._url)
            if not self._reached:
                client.search_registered_models(max_results=1)
        except Exception as error:  # noqa: BLE001 - MLflow's, the driver's and the network's have no common base
            raise RegistryError(_unusable(self._url, error)) from None
        self._reached = True
        return client

    def _experiment_id(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        where = self._artifacts.resolve().as_uri() if self._artifacts else None
        return str(client.create_experiment(name, artifact_location=where))

    def _stored(self, client: MlflowClient, name: str, version: int) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version(name, str(version))
        except MlflowException:
            raise LookupError(f"no version {version} of {name!r}: see paiid models list") from None

    def _version(self, client: MlflowClient, stored: Any) -> Version:
        run = client.get_run(stored.run_id).data
        return Version(
            name=stored.name,
            version=int(stored.version),
            digest=stored.tags.get("digest", ""),
            data_sha256=stored.tags.get("data_sha256", ""),
            run_id=stored.run_id,
            aliases=tuple(stored.aliases),
            created=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
            metrics=run.metrics,
            parameters=run.params,
            gate=tuple(stored.tags.get("gate", "").split(_BETWEEN)) if stored.tags.get("gate") else (),
        )


def installed(name: str, home: Path, public: bytes) -> InstalledModel:
    """The pinned version of ``name`` under ``home``, its files verified; without MLflow, in milliseconds.

    Raises LookupError with the remedy where none is installed, UntrustedModelError where its files are not those
    signed.
    """
    pin = home / name / "champion.json"
    try:
        found = json.loads(pin.read_text())
        version, digest = int(found["version"]), str(found["digest"])
    except FileNotFoundError:
        raise LookupError(f"{name} is not installed in {home}: promote a version (paiid models promote)") from None
    except (ValueError, KeyError, TypeError):
        raise UntrustedModelError(f"{pin} cannot be read: install the model again") from None
    folder = home / name / str(version)
    if verify_folder(folder, public) != digest:
        raise UntrustedModelError(f"{folder} is not the version that {pin} names: install the model again")
    return InstalledModel(name, version, digest, folder)


def _intact(folder: Path, digest: str, public: bytes) -> bool:
    try:
        return verify_folder(folder, public) == digest
    except UntrustedModelError:
        return False


def _save_model(path: str, mlflow_model: Any, folder: Path, digest: str, interface: ModelSignature) -> None:
    """Write a model in MLflow's layout: the signed folder unchanged, beside MLmodel."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    target = Path(path)
    shutil.copytree(folder, target / _FILES)
    example = {"columns": list(interface.inputs), "data": [[interface.example[name] for name in interface.inputs]]}
    (target / _EXAMPLE).write_text(json.dumps(example))
    mlflow_model.signature = ModelSignature(
        Schema(
            [
                ColSpec(DataType[kind], name, required=name not in interface.optional)
                for name, kind in interface.inputs.items()
            ]
        ),
        Schema([ColSpec(DataType.double, name) for name in interface.outputs]),
    )
    mlflow_model.saved_input_example_info = {
        "artifact_path": _EXAMPLE, "type": "dataframe", "pandas_orient": "split",
    }  # fmt: skip
    mlflow_model.add_flavor("paiid", data=_FILES, digest=digest, outputs=list(interface.outputs))
    mlflow_model.save(str(target / "MLmodel"))


def _log_plots(mlflow: Any, plots: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for title, image in plots.items():
            path = Path(folder) / f"{title}.png"
            path.write_bytes(image)
            mlflow.log_artifact(str(path), "plots")


def _make_once(database: Path, mlflow: Any) -> None:
    """Create MLflow's SQLite file where there is none: as a draft, under a lock, renamed once complete.

    MLflow creates its tables in many commits: killed between two, or racing another process, it leaves a broken file.
    """
    if database.exists():
        return
    _parent(database)
    with database.with_name(f"{database.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if database.exists():
            return
        draft = database.with_name(f"{database.name}.new")
        for left in (draft, draft.with_name(f"{draft.name}-journal")):
            left.unlink(missing_ok=True)
        url = f"{_SQLITE}{draft}"
        mlflow.MlflowClient(url, url).search_registered_models(max_results=1)
        os.replace(draft, database)


def _unusable(url: str, error: Exception) -> str:
    """Why the registry at ``url`` cannot be used, and the remedy, without its password."""
    place = urlsplit(url)
    shown = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
    message = f"the register of models, {shown}, cannot be used ({type(error).__name__}"
    if not url.startswith(_SQLITE):
        return f"{message}): check PAIID_MLFLOW_URL, and that its server runs"
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return (
        f"{message}: {reason}): if its creation was interrupted, move {url.removeprefix(_SQLITE)} away and import or "
        "train anew (what is installed stays in use); else give its folder room and the right owner"
    )


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _plain(name: str) -> str:
    if "'" in name or not name:
        raise ValueError(f"{name!r} is no model's name: use letters, digits and dashes")
    return name
