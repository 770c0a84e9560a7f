"""What tests of pulling rely on: an engine gets an image from the registry that it, or another, has put there."""

from __future__ import annotations

import http.client
import json

import pytest
from docker.errors import ImageNotFound

from tests.engines.engine import EngineUnderTest
from tests.engines.local_registry import LocalRegistry
from tests.engines.tiny_image import import_tiny_image


def test_what_was_pushed_can_be_pulled(engine: EngineUnderTest, registry: LocalRegistry) -> None:
    image = import_tiny_image(engine.client)
    name = registry.push(engine.client, image, f"there-and-back/{engine.name}", "1")
    with pytest.raises(ImageNotFound):
        engine.client.inspect_image(name)
    try:
        engine.client.pull(name)
        pulled = engine.client.inspect_image(name)
        assert pulled["RootFS"]["Layers"] == engine.client.inspect_image(image)["RootFS"]["Layers"]
    finally:
        engine.client.remove_image(name)


def test_it_tells_what_it_has(engine: EngineUnderTest, registry: LocalRegistry) -> None:
    registry.push(engine.client, import_tiny_image(engine.client), f"listed/{engine.name}")
    asking = http.client.HTTPConnection(registry.address, timeout=10)
    asking.request("GET", f"/v2/listed/{engine.name}/tags/list")
    assert json.loads(asking.getresponse().read())["tags"] == ["latest"]
    asking.close()
