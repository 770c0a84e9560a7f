"""The one style sheet and the palette, made from the theme's tokens.

Widgets ask for a role by a dynamic property: `role` on labels ("title", "heading", "dim", "small",
"error"), `primary`, `danger`, `flat` and `quiet` on buttons. Frames that are a surface of their own set
`surface` to "panel" or "background".
"""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette

from gui.icons import icon_path
from gui.tokens import Tokens, ink

__all__ = ["palette", "style_sheet"]


def palette(tokens: Tokens) -> QPalette:
    """Qt's own colours, for everything that the style sheet leaves alone."""
    made = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: tokens.background,
        role.WindowText: tokens.text,
        role.Base: tokens.panel,
        role.AlternateBase: tokens.background,
        role.Text: tokens.text,
        role.PlaceholderText: tokens.dim,
        role.Button: tokens.raised,
        role.ButtonText: tokens.text,
        role.BrightText: tokens.error,
        role.ToolTipBase: tokens.raised,
        role.ToolTipText: tokens.text,
        role.Link: tokens.accent,
        role.LinkVisited: tokens.accent,
        role.Highlight: tokens.selection,
        role.HighlightedText: tokens.text,
        role.Accent: tokens.accent,
        role.Light: tokens.raised,
        role.Midlight: tokens.line,
        role.Mid: tokens.line,
        role.Dark: tokens.line,
        role.Shadow: tokens.background,
    }
    for which, colour in colours.items():
        made.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        made.setColor(QPalette.ColorGroup.Disabled, which, QColor(faint(tokens)))
    return made


def faint(tokens: Tokens) -> str:
    """What is disabled: between dim and the ground."""
    return mixed(tokens.dim, tokens.panel, 0.62)


def mixed(one: str, other: str, share: float) -> str:
    """`share` of `one` over `other`, as #rrggbb."""
    a, b = QColor(one), QColor(other)
    parts = ((a.red(), b.red()), (a.green(), b.green()), (a.blue(), b.blue()))
    return "#" + "".join(f"{round(x * share + y * (1 - share)):02x}" for x, y in parts)


def style_sheet(tokens: Tokens, points: float) -> str:
    """The style sheet; `points` is the size of the system's UI font."""
    t = tokens
    small = max(7.0, points - 1)
    down, up = icon_path("chevron-down").as_posix(), icon_path("chevron-up").as_posix()
    # the tick lies on the accent
    tick = icon_path("check-on-dark" if t.on_accent == "#ffffff" else "check-on-light").as_posix()
    hover, off = mixed(t.dim, t.raised, 0.18), faint(t)
    press = mixed(t.dim, t.raised, 0.30)
    return f"""
QWidget[surface="panel"] {{ background: {t.panel}; }}
QWidget[surface="background"], QMainWindow, QDialog {{ background: {t.background}; }}
QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line}; padding: 4px 6px; }}

QLabel {{ background: transparent; }}
QLabel[role="title"] {{ font-size: {points + 2:g}pt; font-weight: 600; }}
QLabel[role="heading"] {{ font-weight: 600; }}
QLabel[role="dim"] {{ color: {t.dim}; }}
QLabel[role="small"] {{ color: {t.dim}; font-size: {small:g}pt; }}
QLabel[role="error"] {{ color: {t.error}; font-size: {small:g}pt; }}

QPushButton, QToolButton {{
  background: {t.raised}; color: {t.text}; border: 1px solid {t.line}; border-radius: 7px;
  padding: 3px 11px; min-height: 20px;
}}
QPushButton:hover, QToolButton:hover {{ background: {hover}; }}
QPushButton[danger="true"]:hover, QToolButton[danger="true"]:hover {{ color: {t.text}; }}
QPushButton:pressed, QToolButton:pressed, QToolButton:checked {{ background: {press}; }}
QPushButton:focus, QToolButton:focus {{ border-color: {t.accent}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {off}; background: {t.raised}; }}
QPushButton[danger="true"], QToolButton[danger="true"] {{ color: {t.error}; }}
QPushButton[danger="true"]:disabled, QToolButton[danger="true"]:disabled {{ color: {off}; }}
QPushButton[primary="true"], QToolButton[primary="true"] {{
  background: {t.accent}; color: {t.on_accent}; border-color: {t.accent}; font-weight: 600;
}}
QPushButton[primary="true"]:hover, QToolButton[primary="true"]:hover {{ background: {mixed(t.accent, t.text, 0.88)}; }}
QPushButton[primary="true"]:focus, QToolButton[primary="true"]:focus {{
  border: 2px solid {t.text}; padding: 2px 10px;
}}
QPushButton[primary="true"]:disabled, QToolButton[primary="true"]:disabled {{
  background: {t.raised}; color: {off}; border-color: {t.line};
}}
QPushButton[flat="true"], QToolButton[flat="true"] {{ background: transparent; border-color: transparent; }}
QPushButton[flat="true"]:hover, QToolButton[flat="true"]:hover {{ background: {hover}; }}
QPushButton[flat="true"]:focus, QToolButton[flat="true"]:focus {{ border-color: {t.accent}; }}
QPushButton[quiet="true"] {{ color: {t.dim}; }}
QPushButton[quiet="true"]:hover {{ color: {t.text}; }}
QToolButton[popupMode="1"] {{ padding-right: 24px; }}
QToolButton::menu-button {{ border: none; width: 20px; }}
QToolButton::menu-arrow, QPushButton::menu-indicator {{ image: url({down}); width: 12px; height: 12px; }}
QToolButton::menu-indicator {{ image: url({down}); width: 12px; height: 12px;
  subcontrol-origin: padding; subcontrol-position: right center; right: 5px; }}
QToolButton[popupMode="2"] {{ padding-right: 24px; }}

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {{
  background: {t.background}; color: {t.text}; border: 1px solid {t.line}; border-radius: 7px;
  padding: 3px 8px; min-height: 20px; selection-background-color: {t.accent}; selection-color: {t.on_accent};
}}
QLineEdit, QPlainTextEdit, QTextEdit {{ placeholder-text-color: {t.dim}; }}
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {{ border-color: {t.accent}; }}
QLineEdit[readOnly="true"] {{ color: {t.dim}; }}
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled {{ color: {off}; }}
QLineEdit[wrong="true"], QSpinBox[wrong="true"], QComboBox[wrong="true"], QTableWidget[wrong="true"] {{
  border-color: {t.error};
}}
QSpinBox, QDoubleSpinBox {{ padding: 1px 2px; }}
QComboBox::drop-down {{ border: none; width: 22px; }}
QComboBox::down-arrow {{ image: url({down}); width: 12px; height: 12px; }}
QComboBox QAbstractItemView {{
  background: {t.panel}; color: {t.text}; border: 1px solid {t.line}; outline: none;
  selection-background-color: {t.selection}; selection-color: {t.text};
}}
QSpinBox::up-button, QDoubleSpinBox::up-button {{
  subcontrol-origin: border; subcontrol-position: top right; width: 20px; border: none; }}
QSpinBox::down-button, QDoubleSpinBox::down-button {{
  subcontrol-origin: border; subcontrol-position: bottom right; width: 20px; border: none; }}
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {{ image: url({up}); width: 10px; height: 10px; }}
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {{ image: url({down}); width: 10px; height: 10px; }}

QAbstractItemView {{
  background: {t.panel}; color: {t.text}; border: none; outline: none; gridline-color: {t.line};
  selection-background-color: {t.selection}; selection-color: {t.text};
}}
QDialog QAbstractItemView {{ border: 1px solid {t.line}; border-radius: 7px; background: {t.background}; }}
QDialog QAbstractItemView:focus {{ border-color: {t.accent}; }}
QHeaderView, QDialog QHeaderView {{ background: {t.background}; border: none; border-radius: 0; }}
QHeaderView::section {{
  background: {t.background}; color: {t.dim}; border: none; border-bottom: 1px solid {t.line}; padding: 4px 8px;
}}
QDialog QHeaderView::section {{ background: transparent; }}
QDialog QTableView::item {{ padding: 0 5px; }}
QDialog QListView::item {{ padding: 4px 5px; }}
QTableCornerButton::section {{ background: {t.background}; border: none; }}

QPlainTextEdit, QTextEdit {{
  background: {t.panel}; color: {t.text}; border: none;
  selection-background-color: {t.accent}; selection-color: {t.on_accent};
}}
QDialog QPlainTextEdit, QDialog QTextEdit {{
  background: {t.background}; border: 1px solid {t.line}; border-radius: 7px; padding: 4px;
}}

QCheckBox {{ spacing: 8px; color: {t.text}; }}
QCheckBox::indicator, QAbstractItemView::indicator {{
  width: 14px; height: 14px; border: 1px solid {t.dim}; border-radius: 4px; background: {t.background};
}}
QCheckBox::indicator:checked, QAbstractItemView::indicator:checked {{
  background: {t.accent}; border-color: {t.accent}; image: url({tick});
}}
QCheckBox::indicator:focus {{ border-color: {t.accent}; }}
QCheckBox::indicator:disabled, QAbstractItemView::indicator:disabled {{ border-color: {t.line}; }}

QMenuBar {{ background: transparent; color: {t.text}; spacing: 0; }}
QMenuBar::item {{ background: transparent; padding: 4px 8px; border-radius: 5px; }}
QMenuBar::item:selected, QMenuBar::item:pressed {{ background: {hover}; }}
QMenu {{ background: {t.panel}; color: {t.text}; border: 1px solid {t.line}; padding: 4px; }}
QMenu::item {{ padding: 5px 28px 5px 12px; border-radius: 5px; }}
QMenu::item:selected {{ background: {hover}; }}
QMenu::item:disabled {{ color: {off}; background: transparent; }}
QMenu::separator {{ height: 1px; background: {t.line}; margin: 4px 8px; }}
QMenu::indicator {{ left: 4px; }}

QTabWidget::pane {{ border: none; border-top: 1px solid {t.line}; }}
QTabBar {{ background: transparent; }}
QTabBar::tab {{ background: transparent; color: {t.dim}; border: 1px solid transparent; padding: 6px 14px; }}
QTabBar::tab:selected {{
  background: {t.panel}; color: {t.text}; border-color: {t.line}; border-bottom-color: {t.panel};
  border-top-left-radius: 7px; border-top-right-radius: 7px;
}}
QTabBar::tab:hover:!selected {{ color: {t.text}; }}

QSplitter::handle {{ background: {t.line}; }}
QSplitter::handle:hover {{ background: {t.dim}; }}

QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
QScrollBar::handle {{ background: {mixed(t.dim, t.panel, 0.45)}; border-radius: 3px; margin: 2px; }}
QScrollBar::handle:hover {{ background: {t.dim}; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}

QProgressBar {{
  background: {t.line}; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; text-align: center;
}}
QProgressBar::chunk {{ background: {t.accent}; border-radius: 2px; }}

#top_bar {{ background: {t.panel}; border-bottom: 1px solid {t.line}; }}
#status_line {{ background: {t.panel}; border-top: 1px solid {t.line}; }}
#error_banner {{
  background: {mixed(t.error, t.panel, 0.14)}; border-bottom: 1px solid {mixed(t.error, t.panel, 0.5)};
}}
#backend_details QLabel {{ color: {t.text}; }}
#backend_details QLabel[role="dim"], #backend_details QLabel[role="small"] {{ color: {t.dim}; }}
#pulls {{ background: {t.panel}; border-bottom: 1px solid {t.line}; }}
#toast, #closing_card {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: 7px; }}
#functions_foot {{ border-top: 1px solid {t.line}; background: {t.panel}; }}
QPushButton#add_function {{
  background: transparent; border: 1px solid transparent; text-align: left; padding: 3px 6px; color: {ink(t, "accent")};
}}
QPushButton#add_function:focus {{ border-color: {t.accent}; }}
QPushButton#add_function:hover {{ background: {hover}; color: {t.text}; }}
"""
