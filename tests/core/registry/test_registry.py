"""What hangs on functions: which version a qualifier means, and what is set for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import FunctionNotFoundError
from core.names import Target
from core.registry import Alias, Details, LayerVersion, Provisioned, Registry, Reserved, UrlConfig

if TYPE_CHECKING:
    from tests.core.registry.conftest import Reopen


def _layer(name: str, number: int, *, digest: str = "ab" * 32, deleted: bool = False) -> LayerVersion:
    return LayerVersion(name=name, qualifier=str(number), digest=digest, size=1, deleted=deleted)


async def test_a_qualifier_means_a_version(registry: Registry) -> None:
    await registry.aliases.put(Alias(name="f", qualifier="live", function_version="3"))
    await registry.aliases.put(Alias(name="f", qualifier="next", function_version="$LATEST"))
    for qualifier, key in ((None, "f"), ("$LATEST", "f"), ("7", "f:7"), ("live", "f:3"), ("next", "f")):
        assert registry.resolve(Target("f", qualifier)) == key
    for name in ("f", "g"):
        with pytest.raises(FunctionNotFoundError) as refused:
            registry.resolve(Target(name, "dead"))
        assert refused.value.function_name == f"{name}:dead"


async def test_the_aliases_of_a_version_are_those_that_send_it_anything(registry: Registry) -> None:
    await registry.aliases.put(Alias(name="f", qualifier="a", function_version="1"))
    await registry.aliases.put(Alias(name="f", qualifier="b", function_version="2", weights={"1": 0.1}))
    await registry.aliases.put(Alias(name="f", qualifier="c", function_version="2"))
    await registry.aliases.put(Alias(name="g", qualifier="d", function_version="1"))
    assert [each.qualifier for each in registry.aliases_of("f", "1")] == ["a", "b"]
    assert [each.qualifier for each in registry.aliases_of("f", "2")] == ["b", "c"]


async def test_what_is_provisioned_for_aliases_is_their_versions(registry: Registry) -> None:
    assert registry.provisioned_versions("f") == {}
    await registry.aliases.put(Alias(name="f", qualifier="live", function_version="1", weights={"2": 0.5}))
    await registry.aliases.put(Alias(name="f", qualifier="next", function_version="2"))
    for qualifier, count in (("live", 3), ("next", 1), ("2", 4)):
        await registry.provisioned.put(Provisioned(name="f", qualifier=qualifier, count=count))
    await registry.provisioned.put(Provisioned(name="g", qualifier="1", count=9))
    assert registry.provisioned_versions("f") == {"1": 3, "2": 5}
    assert [registry.warm("f", version) for version in ("1", "2", "3", "$LATEST")] == [3, 5, 0, 0]


async def test_what_the_account_has_given_away_counts_a_function_once(registry: Registry) -> None:
    assert registry.spoken_for() == 0
    await registry.reserved.put(Reserved(name="f", count=10))
    await registry.provisioned.put(Provisioned(name="f", qualifier="1", count=4))
    await registry.provisioned.put(Provisioned(name="g", qualifier="1", count=2))
    assert registry.spoken_for() == 12
    assert (registry.most_at_once("f"), registry.most_at_once("g")) == (10, None)


async def test_a_function_takes_all_that_hangs_on_it_along_and_nothing_else(reopen: Reopen) -> None:
    async with reopen([]) as registry:
        for name in ("f", "ff"):
            await registry.details.put(Details(name=name))
            await registry.details.put(Details(name=name, qualifier="1"))
            await registry.aliases.put(Alias(name=name, qualifier="live", function_version="1"))
            await registry.reserved.put(Reserved(name=name, count=1))
            await registry.provisioned.put(Provisioned(name=name, qualifier="1", count=1))
            await registry.urls.put(UrlConfig(name=name, qualifier="live"))
        await registry.layers.put(_layer("f", 1))
        keys = registry.keys_of_version("f", "1")
        assert sorted(keys) == [("details", "f", "1"), ("provisioned", "f", "1")]
        keys = registry.keys_of_function("f")
        assert len(keys) == 6
        await registry._journal.remove_resources(keys)
        registry.drop(keys)
        assert registry.keys_of_function("f") == []
        assert len(registry.keys_of_function("ff")) == 6
        assert registry.layers.get("f", "1") is not None
    async with reopen([]) as registry:
        assert registry.keys_of_function("f") == []
        assert len(registry.keys_of_function("ff")) == 6


async def test_a_revision_is_another_one_after_each_change(registry: Registry) -> None:
    first = registry.revision("f", "$LATEST", 1.0)
    assert registry.revision("f", "$LATEST", 1.0) == first
    seen = {first, registry.revision("f", "1", 1.0), registry.revision("g", "$LATEST", 1.0)}
    seen.add(registry.revision("f", "$LATEST", 2.0))
    await registry.details.put(Details(name="f", role="arn:aws:iam::000000000000:role/r"))
    seen.add(registry.revision("f", "$LATEST", 1.0))
    assert len(seen) == 5


async def test_a_layers_next_number_is_above_all_it_ever_had(registry: Registry) -> None:
    assert registry.next_layer_version("l") == 1
    for number in (1, 2, 9, 10):
        await registry.layers.put(_layer("l", number, deleted=number == 10))
    await registry.layers.put(_layer("other", 50))
    assert registry.next_layer_version("l") == 11


async def test_a_layer_that_cannot_be_read_keeps_its_number_and_every_archive(reopen: Reopen) -> None:
    async with reopen([]) as registry:
        await registry.layers.put(_layer("l", 1))
        assert not registry.layers_unreadable
        await registry._journal.put_resource("layer", "l", "2", "{")
    async with reopen([]) as registry:
        assert registry.next_layer_version("l") == 3
        assert registry.layers_unreadable


async def test_the_archives_of_published_layers_are_named_and_of_deleted_ones_not(registry: Registry) -> None:
    await registry.layers.put(_layer("l", 1, digest="aa" * 32))
    await registry.layers.put(_layer("l", 2, digest="bb" * 32, deleted=True))
    await registry.layers.put(_layer("m", 1, digest="cc" * 32))
    assert registry.layer_digests() == {"aa" * 32, "cc" * 32}
