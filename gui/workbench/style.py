"""What the workbench adds to the application's style sheet."""

from __future__ import annotations

from gui.icons import icon_path
from gui.style import mixed
from gui.tokens import Tokens

__all__ = ["workbench_style"]


def workbench_style(tokens: Tokens) -> str:
    """The rules, all of them for names that only the workbench has."""
    t = tokens
    left, right = icon_path("chevron-left").as_posix(), icon_path("chevron-right").as_posix()
    return f"""
#workbench {{ background: {t.panel}; }}
#tab_strip {{ background: {t.background}; border-top: 1px solid {t.line}; border-bottom: 1px solid {t.line}; }}
#bench, #event_side, #facts, ResponseView, FactsView {{ background: {t.panel}; }}
#tab_strip QTabBar::scroller {{ width: 48px; }}
#tab_strip QTabBar QToolButton {{
  background: {t.background}; border: none; border-radius: 0; padding: 0; min-height: 0;
}}
#tab_strip QTabBar QToolButton:hover {{ background: {mixed(t.dim, t.background, 0.16)}; }}
#tab_strip QTabBar QToolButton::left-arrow {{ image: url({left}); width: 12px; height: 12px; }}
#tab_strip QTabBar QToolButton::right-arrow {{ image: url({right}); width: 12px; height: 12px; }}
#new_tab {{ padding: 3px 8px; color: {t.dim}; }}
#segments {{ border: 1px solid {t.line}; border-radius: 7px; background: transparent; }}
#segments QPushButton {{
  background: transparent; color: {t.dim}; border: 1px solid transparent; border-radius: 6px; padding: 2px 0;
}}
#segments QPushButton:hover {{ color: {t.text}; }}
#segments QPushButton:checked {{ background: {mixed(t.dim, t.panel, 0.16)}; color: {t.text}; }}
#segments QPushButton:focus {{ border-color: {t.accent}; }}
#segments #view_error {{ color: {t.error}; }}
#response_more {{ padding: 3px 0; }}
#fact_name {{ color: {t.dim}; }}
#copy_request {{
  background: transparent; border: 1px solid transparent; color: {t.dim}; padding: 0 4px; min-height: 0;
}}
#copy_request:hover {{ color: {t.text}; }}
#copy_request:focus {{ border-color: {t.accent}; }}
#chunk_caption {{ color: {t.dim}; }}
#error_title {{ color: {t.error}; font-weight: 600; }}
#error_trace {{ background: {t.panel}; }}
#chunks QHeaderView {{ background: {t.panel}; }}
#chunks QHeaderView::section {{ background: {t.panel}; padding: 4px 3px; }}
#chunks QHeaderView::section:last {{ padding-left: 13px; }}
"""
