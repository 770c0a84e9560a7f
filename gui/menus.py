"""The menu bar: the same actions as the buttons, in the same words."""

from __future__ import annotations

from PySide6.QtWidgets import QMenu, QMenuBar

from gui.actions import Actions

__all__ = ["fill_menus"]


def fill_menus(bar: QMenuBar, actions: Actions) -> QMenu:
    """Put all menus into `bar`. The one that is returned is for the backends to choose the default from."""
    a = actions
    bar.setAccessibleName("Menus")

    functions = _menu(bar, "&Function")
    functions.addActions([a.add, a.add_zip, a.add_folder])
    functions.addSeparator()
    functions.addActions([a.edit, a.reload, a.pull_image, a.clone, a.remove])
    functions.addSeparator()
    functions.addActions([a.invoke, a.cancel])
    functions.addSeparator()
    functions.addAction(a.quit)

    instances = _menu(bar, "&Instances")
    instances.addAction(a.launch)
    more = a.launch_menu(instances)
    more.setTitle("Launch several")
    instances.addMenu(more)
    instances.addSeparator()
    instances.addActions([a.terminate, a.kill, a.pin, a.show_logs])
    instances.addSeparator()
    instances.addActions([a.copy_container, a.copy_shell])
    instances.addSeparator()
    instances.addActions([a.evict, a.reap_idle, a.reap_stale])
    instances.addSeparator()
    instances.addAction(a.stop_all)
    instances.addSeparator()
    defaults = instances.addMenu("Default backend")
    defaults.setObjectName("default_backend_menu")

    endpoint = _menu(bar, "&Endpoint")
    endpoint.addActions([a.endpoint, a.endpoint_copy, a.endpoint_setup])
    endpoint.addSeparator()
    endpoint.addAction(a.calls)

    view = _menu(bar, "&View")
    view.addActions([a.logs, a.calls, a.filter, a.clear_selection])

    help_ = _menu(bar, "&Help")
    help_.addAction(a.about)
    return defaults


def _menu(bar: QMenuBar, title: str) -> QMenu:
    menu = bar.addMenu(title)
    # the reason why an action is disabled is in its tooltip
    menu.setToolTipsVisible(True)
    return menu
