"""The palette is legible, and the whole application follows it."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from gui.icons import icon, icon_path
from gui.style import mixed, style_sheet
from gui.theme import Theme
from gui.tokens import DARK, LIGHT, Tokens, ink


def luminance(colour: str) -> float:
    parts = []
    for value in (QColor(colour).redF(), QColor(colour).greenF(), QColor(colour).blueF()):
        parts.append(value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    """Source: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("ground", ["background", "panel", "raised", "selection"])
@pytest.mark.parametrize("text", ["text", "dim"])
def test_text_is_legible_on_every_ground(tokens: Tokens, ground: str, text: str) -> None:
    assert contrast(getattr(tokens, text), getattr(tokens, ground)) >= 4.5


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
def test_words_in_colour_are_legible_where_they_stand(tokens: Tokens) -> None:
    assert contrast(tokens.on_accent, tokens.accent) >= 4.5
    assert contrast(tokens.accent, tokens.panel) >= 4.5
    assert contrast(tokens.error, tokens.raised) >= 4.5
    assert contrast(tokens.error, tokens.panel) >= 4.5
    assert contrast(tokens.starting, tokens.panel) >= 4.5


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("ground", ["background", "panel", "raised", "selection"])
@pytest.mark.parametrize("name", ["busy", "idle", "starting", "draining", "ok", "error", "dim"])
def test_a_state_can_be_read_in_its_pill_on_every_ground(tokens: Tokens, ground: str, name: str) -> None:
    below = getattr(tokens, ground)
    pill = mixed(getattr(tokens, name), below, 34 / 255)
    assert contrast(ink(tokens, name), below) >= 4.45
    assert contrast(ink(tokens, name), pill) >= 4.45


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
def test_the_style_sheet_names_only_colours_and_files_that_exist(tokens: Tokens) -> None:
    text = style_sheet(tokens, 10.0)
    assert text.count("{") == text.count("}")
    for part in text.split("url(")[1:]:
        name = part.split(")")[0].rsplit("/", 1)[1].removesuffix(".svg")
        assert icon_path(name).is_file()


async def test_a_change_of_scheme_dresses_the_application_again(theme: Theme) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    theme.install(app)
    changed: list[str] = []
    theme.changed.connect(lambda: changed.append(theme.tokens.background))
    theme.force(DARK)
    assert app.palette().color(QPalette.ColorRole.Window) == QColor(DARK.background)
    assert DARK.panel in app.styleSheet()
    theme.force(LIGHT)
    assert app.palette().color(QPalette.ColorRole.Window) == QColor(LIGHT.background)
    assert changed == [DARK.background, LIGHT.background]
    theme.uninstall()


async def test_icons_take_the_colour_they_are_given() -> None:
    image = icon("close", "#ff0000", 16).pixmap(16, 16).toImage()
    pixels = [image.pixelColor(x, y) for x in range(16) for y in range(16)]
    assert "#ff0000" in {pixel.name() for pixel in pixels if pixel.alpha() > 250}
    with pytest.raises(FileNotFoundError):
        icon_path("no-such-icon")
