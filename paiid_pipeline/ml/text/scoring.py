"""Loads the installed text models, verified, and builds the SentimentAnalyzer from them.

No file of a folder is parsed before its signature is verified. A model that cannot be used is no error: the analyzer
is built without it, with the reason in ``route.unavailable``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from paiid_pipeline.ml.registry import installed
from paiid_pipeline.ml.signing import KeySource, SigningKey, UntrustedModelError, new_key, verify_folder
from paiid_pipeline.ml.text.onnx_runtime import ABOUT, arithmetic, encoder_of, load_served
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.base import ModelError, SentimentModel, TextInput, predict_texts
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, MODEL, EnsembleWeights, select_models
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
_INPUT = "+reading.5"
"""The version of the steps between normalised text and tokens; part of a model's version."""
_BATCH_TOKENS = 256
"""Larger batches exceed a core's cache, by the benchmarks."""
_MS_A_MEGABYTE = 0.1
"""Nominal milliseconds for 32 tokens on one core, a megabyte of weights."""


def _key_in(path: Path | None) -> SigningKey:
    if path is None:
        raise LookupError("no key to verify models with was given: give the file of the one that signed them")
    return new_key(path)


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
    """The analyzer over VADER and the models installed in the folder ``models``, within ``budget_ms`` a text.

    A model that is absent, not signed with the key (``key`` opens it, ``own_key`` is its file), or that
    this machine cannot run is left out, with the reason in
    ``route.unavailable``; never raises for it. Without a ``blend`` the fitted one in ``models/ensemble`` is used,
    and without that the default weights.
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
        absent[MODEL] = f"{blend.version} gives weight to none of the available models, so the default weights are used"
        blend = DEFAULT_WEIGHTS
        made = select_models(loaded, absent, blend, budget_ms)
    return SentimentAnalyzer(replace(made, unavailable={**_refused(absent), **made.unavailable}), blend, names or {})


def cores() -> int:
    """The number of cores available to this process; of the machine where that is unknown (macOS)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def save_blend(blend: EnsembleWeights, folder: Path) -> None:
    """Write ensemble weights as :func:`load_blend` reads them; the caller signs the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BLEND).write_text(json.dumps({**asdict(blend), "weights": dict(blend.weights)}, indent=1, sort_keys=True))


def load_blend(models: Path, key: KeySource) -> EnsembleWeights:
    """The fitted ensemble weights in ``models/ensemble``: its pinned version, or that folder itself if signed.

    Raises LookupError where there is none, UntrustedModelError where the signature does not hold, ValueError where
    the file is malformed.
    """
    return read_blend(_verified(MODEL, models, key)[0])


def load_member(name: str, models: Path, key: KeySource, device: Device = "cpu") -> Transformer:
    """The model in ``models/<name>``: its pinned version, or that folder itself if signed.

    An exported folder runs on ONNX Runtime, one of safetensors on torch. Raises LookupError where there is none,
    UntrustedModelError where the signature does not hold, ValueError where its labels have no names or its vocabulary
    does not fit, ModelError where it cannot be loaded; each with the remedy.
    """
    return open_member(name, *_verified(name, models, key), device)


def open_member(name: str, folder: Path, public: bytes, device: Device = "cpu") -> Transformer:
    """The model in any folder signed by the owner of ``public``; raises as :func:`load_member`."""
    if (folder / ABOUT).is_file() and device == "cpu":
        made = _served(name, folder, public)
    else:
        made = _torch(name, folder, verify_folder(folder, public), device)
    _, failure = predict_texts(made, [_TRIAL])
    if failure:  # left out once with its reason, rather than missing for every text
        raise ModelError(f"{folder} cannot be used: {failure.reason}; train it, or fetch it, again")
    return made


def installed_member(name: str, models: Path, public: bytes) -> Transformer:
    """:func:`load_member` with a public key."""
    return open_member(name, _folder(name, models, public), public)


def read_blend(folder: Path) -> EnsembleWeights:
    """The ensemble weights in a verified folder. Raises ValueError where the file is malformed."""
    try:
        found = json.loads((folder / BLEND).read_text())
        weights = {str(name): float(weight) for name, weight in found["weights"].items()}
        return EnsembleWeights(
            str(found["version"]), weights, float(found["temperature"]), float(found.get("floor", 0.0))
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / BLEND} lacks {error}: fit and register the ensemble again") from None


def _verified(name: str, models: Path, key: KeySource) -> tuple[Path, bytes]:
    """The verified folder installed under a name, and the public key that it was verified with."""
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
        version=f"{model.digest[:12]}{_INPUT}/onnx@{arithmetic()}",
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
        version=f"{digest[:12]}{_INPUT}/torch-{device}{kind}",
        encode=_spelled(folder, _guarded(name, encoder_of(tokenizer))),
        forward=_guarded(name, _forward(network.half().cuda() if device == "cuda" else network, device)),
        columns=(0, 1, 2),  # the network returns its classes in our order
        reads_entities="paiid_pooling" in config,
        cost_ms=_cost(folder),
    )


def _guarded(name: str, step: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """``step`` with every exception as a ModelError, so that the ensemble goes on without the member."""

    def run(*given: _Given.args, **named: _Given.kwargs) -> _Made:
        try:
            return step(*given, **named)
        except Exception as error:  # noqa: BLE001 - the runtimes' own exceptions have no common base
            raise ModelError(f"{name} failed on a batch: {type(error).__name__}: {error}") from None

    return run


def _spelled(folder: Path, encode: Encode) -> Encode:
    """``encode`` after restoring disguised words by the model's vocabulary."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    if not isinstance(vocabulary, dict):
        return encode  # no WordPiece vocabulary to restore words by
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
    # The network's vocabulary size may be padded to a round number.
    if expected and not words <= expected < words + 128:
        raise ValueError(
            f"{folder}: its tokenizer has {words} words and its network {expected}: the vocabulary is another "
            "model's; import the model with its own tokenizer"
        )


def _cost(folder: Path) -> float:
    return max(path.stat().st_size for path in folder.iterdir()) / 1e6 * _MS_A_MEGABYTE
