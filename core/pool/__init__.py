"""The warm pool: one FIFO of waiters per function, capacity, hand-over."""

from core.pool.pool import WarmPool
from core.pool.state import Plan, PoolFunction, PoolLimits, Waiter

__all__ = ["Plan", "PoolFunction", "PoolLimits", "Waiter", "WarmPool"]
