"""(contract sketch; fields final) Typed settings of one home, in one file."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    max_instances: int = 10
    queue_limit: int = 1000
    queue_timeout: float = 60.0
    idle_ttl: float = 300.0
    start_limit: int = 16
    instance_budget: int = 100
    memory_budget_mb: int = 0
    default_backend: str = "process"
    init_timeout: float = 10.0
    history_limit: int = 10_000
    history_days: float = 30.0
    record_limit: int = 262_144
    record_payloads: bool = True
