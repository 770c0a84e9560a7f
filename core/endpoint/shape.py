"""What all requests are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError

__all__ = ["Shape"]

_REFUSED = (
    "PublishTo",
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "AcceleratorConfig",
)
"""Members that make a function run in another way than any does here."""


class Shape(BaseModel):
    """The API's names are these in PascalCase. No text is taken for a number, and no number for text."""

    model_config = ConfigDict(strict=True, alias_generator=to_pascal)

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, given: Any) -> Any:
        for name in _REFUSED:
            if isinstance(given, dict) and given.get(name) is not None:
                raise PydanticCustomError("unsupported", "{name} is not supported here", {"name": name})
        return given
