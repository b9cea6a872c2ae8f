# How many Events an object may get: a storm of alerts must not become a storm of writes. Pure: time is passed in.
from collections.abc import Hashable
from dataclasses import dataclass

REFILL_S = 300.0  # for one more Event, as client-go's spam filter gives


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Budget:
    """Give each object a burst of Events, then one per `refill` seconds. Times are seconds of one monotonic clock."""

    def __init__(self, *, burst: int, refill: float = REFILL_S) -> None:
        self._burst = burst
        self._refill = refill
        self._buckets: dict[Hashable, _Bucket] = {}
        self._swept = float("-inf")

    def spend(self, key: Hashable, *, now: float) -> bool:
        """Take one Event from an object's budget; False when there is none left."""
        bucket = self._bucket(key, now)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def refund(self, key: Hashable, *, now: float) -> None:
        """Give back what was spent on an Event that had been created before."""
        bucket = self._bucket(key, now)
        bucket.tokens = min(bucket.tokens + 1, self._burst)

    def _bucket(self, key: Hashable, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            self._drop_rested(now)
            bucket = self._buckets[key] = _Bucket(self._burst, now)
        self._fill(bucket, now)
        return bucket

    def _fill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(bucket.tokens + (now - bucket.at) / self._refill, self._burst)
        bucket.at = now

    def _drop_rested(self, now: float) -> None:
        if now - self._swept < self._refill:
            return
        self._swept = now
        for key, bucket in list(self._buckets.items()):
            self._fill(bucket, now)
            if bucket.tokens >= self._burst:
                del self._buckets[key]
