"""Hot results in Redis: the final bytes, in an envelope with their freshness."""

from redis import RedisError as CacheError

from paiid_pipeline.cache.envelope import SCHEMA_VERSION, Envelope, cache_key
from paiid_pipeline.cache.manager import CacheManager

__all__ = ["SCHEMA_VERSION", "CacheError", "CacheManager", "Envelope", "cache_key"]
