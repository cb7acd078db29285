"""Pretrained models from the Hugging Face hub or a folder: safetensors only, nothing that could run code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

from paiid_pipeline.ml.signing import check_kinds
from paiid_pipeline.ml.text.classifier import CONFIG, TOKENIZER, WEIGHTS, load_tokenizer
from paiid_pipeline.ml.text.model_folders import check_folder
from paiid_pipeline.sentiment.labels import columns_of


def fetch_classifier(source: str, to: Path) -> Path:
    """Fetch the classifier ``source``, a folder or a hub name, as configuration, safetensors and tokenizer into ``to``.

    Raises UntrustedModelError where the folder holds anything that could run code, before parsing it; ValueError where
    its labels cannot be mapped by name; LookupError, with the remedy, where there is no such folder and the hub cannot
    be reached or has no such model in safetensors.
    """
    check_source(source)
    folder = Path(source).expanduser()
    return _copy(folder, to) if folder.is_dir() else _download(source, to)


def check_source(source: str) -> None:
    """Check a source within a second, before :func:`fetch_classifier`: see `model_folders.check_folder`.

    Raises LookupError for what is neither a folder nor a possible hub name.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        check_folder(folder)
    elif folder.is_absolute() or source.startswith(".") or source.count("/") > 1:
        raise LookupError(f"{source} is no folder: give the folder of a model, or a hub's name such as owner/model")


def check_base(base: str) -> None:
    """Check that an encoder can be loaded, before training.

    Raises LookupError, with the remedy, where it is neither a folder with a configuration and safetensors nor a
    reachable hub model.
    """
    folder = Path(base)
    if folder.is_dir():
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise LookupError(f"the base {base} lacks {', '.join(missing)}: give a folder of an encoder in safetensors")
        return
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise LookupError(
            f"the base {base!r} is neither a folder nor a model that the hub gives ({_first_line(error)}): download "
            "it where there is a network, and give the folder"
        ) from None


def _copy(folder: Path, to: Path) -> Path:
    # Downloads leave hidden folders beside the files; links, as in the hub's cache, are resolved.
    shutil.copytree(folder, to, ignore=lambda _, names: [name for name in names if name.startswith(".")])
    check_kinds(to)
    if not (to / TOKENIZER).is_file():
        load_tokenizer(to).save(str(to / TOKENIZER))
    return to


def _download(name: str, to: Path) -> Path:
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    try:
        config = AutoConfig.from_pretrained(name)
        columns_of(config.id2label)
        model = AutoModelForSequenceClassification.from_pretrained(name, dtype="float32", use_safetensors=True)
        tokenizer = load_tokenizer(name)
    except OSError as error:
        raise LookupError(
            f"{name} cannot be had from the hub ({_first_line(error)}): download it where there is a network, "
            f"`hf download {name} --local-dir FOLDER`, delete all weights but safetensors, and import the folder"
        ) from None
    cast(Any, logging).disable_progress_bar()
    cast(Any, model).save_pretrained(to)
    tokenizer.save(str(to / TOKENIZER))
    check_kinds(to)
    return to


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
