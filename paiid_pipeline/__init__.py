"""News and market bars in; sentiment, indicators and trading signals out.

What applications use is imported from here, and only on first use: `import paiid_pipeline` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paiid_pipeline.public import CacheManager, SentimentAnalyzer, SignalGenerator
    from paiid_pipeline.sentiment.analyzer import SentimentResult
    from paiid_pipeline.serving.pipeline import MLDataPipeline
    from paiid_pipeline.signals.generator import Signal
    from paiid_pipeline.signals.risk import RiskManager
    from paiid_pipeline.signals.validation import SignalValidator
    from paiid_pipeline.technicals.analyzer import TechnicalAnalyzer

__all__ = [
    "CacheManager",
    "MLDataPipeline",
    "RiskManager",
    "SentimentAnalyzer",
    "SentimentResult",
    "Signal",
    "SignalGenerator",
    "SignalValidator",
    "TechnicalAnalyzer",
]

_MODULES = {
    "CacheManager": "public",
    "MLDataPipeline": "serving.pipeline",
    "RiskManager": "signals.risk",
    "SentimentAnalyzer": "public",
    "SentimentResult": "sentiment.analyzer",
    "Signal": "signals.generator",
    "SignalGenerator": "public",
    "SignalValidator": "signals.validation",
    "TechnicalAnalyzer": "technicals.analyzer",
}

if not TYPE_CHECKING:  # else every misspelt name would have a type

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
