"""The edge between model folders and the analyzer: what is installed is verified, loaded and put to work.

Nothing of a folder is parsed before its signature holds. What cannot be used is no error here: the analyzer
goes without it, and says why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
import polars as pl

from paiid_pipeline.ml.classification_metrics import Evaluation, evaluate
from paiid_pipeline.ml.registry import installed
from paiid_pipeline.ml.signing import KeySource, SigningKey, UntrustedModelError, new_key, verify_folder
from paiid_pipeline.ml.text.onnx_runtime import ABOUT, arithmetic, encoder_of, load_served
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.base import ModelError, SentimentModel, TextInput, predict_texts
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, MODEL, EnsembleWeights, select_models
from paiid_pipeline.sentiment.labels import INDEX
from paiid_pipeline.sentiment.text.company_names import Names
from paiid_pipeline.sentiment.text.spelling import speller
from paiid_pipeline.sentiment.transformer import Encode, Forward, Tokens, Transformer
from paiid_pipeline.sentiment.vader import Vader

TRANSFORMERS = ("custom_bert", "finbert")
Device = Literal["cpu", "cuda"]
_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")

BLEND = "blend.json"
_PINNED = "champion.json"
_TRIAL = TextInput("Shares rose")
_READING = "+reading.5"
"""Raised whenever what is done to a text between normalising and tokens changes."""
_BATCH_TOKENS = 256
"""More leave the cache of a core: measured by the benchmarks."""
_MS_A_MEGABYTE = 0.1
"""Nominal: what 32 tokens take on one core, by the size of the weights."""


def open_analyzer(
    models: Path,
    names: Names | None = None,
    *,
    blend: EnsembleWeights | None = None,
    budget_ms: float | None = None,
    device: Device = "cpu",
    key: KeySource | None = None,
    own_key: Path | None = None,
) -> SentimentAnalyzer:
    """The analyzer over VADER and what is installed in the folder ``models``, within a budget a text.

    A model that is absent, not signed with our key (``key`` opens it, or ``own_key`` is its file), or in no form that
    this machine can run is left out; the reason stands in ``route.unavailable``. Never raises for it. Without a
    ``blend``, the fitted one in ``models/ensemble`` is taken, and where there is none the seed's.
    """
    key = key or partial(_key_in, own_key)
    loaded: list[SentimentModel] = [Vader()]
    absent: dict[str, str] = {}
    for name in TRANSFORMERS:
        try:
            loaded.append(load_member(name, models, key, device))
        except Exception as error:  # noqa: BLE001 - what a signed folder of rubbish raises has no common base
            absent[name] = str(error) or repr(error)
    try:
        blend = blend or load_blend(models, key)
    except LookupError:
        blend = DEFAULT_WEIGHTS
    except Exception as error:  # noqa: BLE001
        blend, absent[MODEL] = DEFAULT_WEIGHTS, str(error) or repr(error)
    made = select_models(loaded, absent, blend, budget_ms)
    if not any(blend.weights[member.name] > 0 for member in made.members):
        absent[MODEL] = f"{blend.version} hears none of the models that are there, so that the seed's weights are used"
        blend = DEFAULT_WEIGHTS
        made = select_models(loaded, absent, blend, budget_ms)
    return SentimentAnalyzer(replace(made, unavailable={**_refused(absent), **made.unavailable}), blend, names or {})


def _key_in(path: Path | None) -> SigningKey:
    if path is None:
        raise LookupError("no key to verify models with was given: give the file of the one that signed them")
    return new_key(path)


def cores() -> int:
    """How many cores this process may use; on systems that do not say (macOS), how many there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def save_blend(blend: EnsembleWeights, folder: Path) -> None:
    """Write a blend as :func:`load_blend` reads it; the caller signs the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BLEND).write_text(json.dumps({**asdict(blend), "weights": dict(blend.weights)}, indent=1, sort_keys=True))


def load_blend(models: Path, key: KeySource) -> EnsembleWeights:
    """The fitted blend in ``models/ensemble``: the pinned version there, or a signed folder that lies there itself.

    Raises LookupError where there is none, UntrustedModelError where it is not as our key signed it, ValueError
    where it is no blend.
    """
    return read_blend(_verified(MODEL, models, key)[0])


def evaluate_rows(analyzer: SentimentAnalyzer, rows: pl.DataFrame) -> dict[str, Evaluation]:
    """How well each member and the ensemble agree with labelled rows, as `datasets.read_labelled` reads them."""
    results = analyzer.analyze_batch(rows["text"].to_list(), rows["entity"].to_list())
    labels = np.array([INDEX[label] for label in rows["label"]])
    found: dict[str, list[tuple[float, float, float]]] = {}
    for result in results:
        for each in (*result.members, result):
            found.setdefault(each.model, []).append((each.p_negative, each.p_neutral, each.p_positive))
    return {name: evaluate(labels, np.array(shares)) for name, shares in found.items()}


def load_member(name: str, models: Path, key: KeySource, device: Device = "cpu") -> Transformer:
    """The model in ``models/<name>``: the pinned version there, or a signed folder that lies there itself.

    In the served form it runs on ONNX Runtime; a folder of safetensors runs on torch. Raises LookupError
    where there is none, UntrustedModelError where its files are not as our key signed them, ValueError where
    its labels have no names or its vocabulary is another model's, RuntimeError where it cannot be loaded; each
    with the remedy.
    """
    return open_member(name, *_verified(name, models, key), device)


def open_member(name: str, folder: Path, public: bytes, device: Device = "cpu") -> Transformer:
    """The model in a folder that the owner of ``public`` signed, wherever it lies; raises as :func:`load_member`."""
    if (folder / ABOUT).is_file() and device == "cpu":
        made = _served(name, folder, public)
    else:
        made = _torch(name, folder, verify_folder(folder, public), device)
    _, failure = predict_texts(made, [_TRIAL])
    if failure:  # what cannot score at all is better left out, with its reason, than missed at every text
        raise ModelError(f"{folder} cannot be used: {failure.reason}; train it, or fetch it, again")
    return made


def installed_member(name: str, models: Path, public: bytes) -> Transformer:
    """As :func:`load_member`, for whoever has the key already."""
    return open_member(name, _folder(name, models, public), public)


def read_blend(folder: Path) -> EnsembleWeights:
    """The blend of a folder that was verified. Raises ValueError where it is none."""
    try:
        found = json.loads((folder / BLEND).read_text())
        weights = {str(name): float(weight) for name, weight in found["weights"].items()}
        return EnsembleWeights(
            str(found["version"]), weights, float(found["temperature"]), float(found.get("floor", 0.0))
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / BLEND} is no blend: it lacks {error}; fit and register it again") from None


def _verified(name: str, models: Path, key: KeySource) -> tuple[Path, bytes]:
    """The folder of what is installed under a name, as it was signed with our key, and that key."""
    _require_folder(name, models)
    try:
        public = key().public
    except (LookupError, ValueError, OSError) as error:
        raise UntrustedModelError(f"{name} cannot be verified: {error}") from None
    return _folder(name, models, public), public


def _folder(name: str, models: Path, public: bytes) -> Path:
    _require_folder(name, models)
    if (models / name / _PINNED).is_file():
        return installed(name, models, public).folder
    verify_folder(models / name, public)
    return models / name


def _require_folder(name: str, models: Path) -> None:
    if not (models / name).is_dir():
        raise LookupError(
            f"{name} is not installed in {models}: train or import one (paiid models train, paiid models import), "
            "or put its signed folder there"
        )


def _refused(absent: Mapping[str, str]) -> dict[str, str]:
    return {name: why for name, why in absent.items() if name == MODEL}


def _served(name: str, folder: Path, public: bytes) -> Transformer:
    try:
        model = load_served(folder, public)
    except UntrustedModelError:
        raise
    except Exception as error:  # noqa: BLE001 - the runtime's own exceptions have no common base
        raise ModelError(f"{folder} cannot be loaded: {error}") from None

    return Transformer(
        name=name,
        version=f"{model.digest[:12]}{_READING}/onnx@{arithmetic()}",
        encode=_spelled(folder, _guarded(name, model.encode)),
        forward=_guarded(name, model.forward),
        columns=model.columns,
        reads_entities=model.reads_entities,
        batch_tokens=_BATCH_TOKENS,
        threads=cores(),
        cost_ms=_cost(folder),
    )


def _torch(name: str, folder: Path, digest: str, device: Device) -> Transformer:
    import torch

    from paiid_pipeline.ml.text.classifier import load_network, load_tokenizer, most_tokens

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("this machine has no GPU that torch can use: score on the cpu")
    config = json.loads((folder / "config.json").read_text())
    tokenizer = load_tokenizer(folder, most_tokens(folder))
    _check_vocabulary(folder, tokenizer.get_vocab_size(), int(config.get("vocab_size", 0)))
    try:
        network = load_network(folder)
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 - safetensors' own exceptions are plain ones
        raise ModelError(f"{folder} cannot be loaded: {error}") from None
    kind = f"@{arithmetic()}" if device == "cpu" else ""
    return Transformer(
        name=name,
        version=f"{digest[:12]}{_READING}/torch-{device}{kind}",
        encode=_spelled(folder, _guarded(name, encoder_of(tokenizer))),
        forward=_guarded(name, _forward(network.half().cuda() if device == "cuda" else network, device)),
        columns=(0, 1, 2),  # the network has put its classes in our order, by their names
        reads_entities="paiid_pooling" in config,
        cost_ms=_cost(folder),
    )


def _guarded(name: str, step: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """``step``, whose failures are the member's: the others are heard without it."""

    def run(*given: _Given.args, **named: _Given.kwargs) -> _Made:
        try:
            return step(*given, **named)
        except Exception as error:  # noqa: BLE001 - the runtimes' own exceptions have no common base
            raise ModelError(f"{name} failed on a batch: {type(error).__name__}: {error}") from None

    return run


def _spelled(folder: Path, encode: Encode) -> Encode:
    """``encode``, of texts whose disguised words are put right by the model's own vocabulary."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    if not isinstance(vocabulary, dict):
        return encode  # not of whole words and pieces of them: there is nothing to go by
    spelled = speller([word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.lstrip("#").isalpha()])

    def read(texts: Sequence[tuple[str, str | None]]) -> Sequence[tuple[list[int], list[int]] | Tokens]:
        return encode([(spelled(text), entity and spelled(entity)) for text, entity in texts])

    return read


def _forward(network: Any, device: Device) -> Forward:
    import torch

    from paiid_pipeline.ml.text.classifier import padded

    def forward(ids: list[list[int]], types: list[list[int]]) -> Any:
        texts = list(zip(ids, types, strict=True))
        with torch.inference_mode():
            return network(*(tensor.to(device) for tensor in padded(texts))).float().cpu().numpy()

    return forward


def _check_vocabulary(folder: Path, words: int, expected: int) -> None:
    # The network's may be padded to a round number.
    if expected and not words <= expected < words + 128:
        raise ValueError(
            f"{folder}: its tokenizer has {words} words and its network {expected}: the vocabulary is another "
            "model's, and every text would score alike; import the model with its own tokenizer"
        )


def _cost(folder: Path) -> float:
    return max(path.stat().st_size for path in folder.iterdir()) / 1e6 * _MS_A_MEGABYTE
