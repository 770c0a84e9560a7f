"""`python -m tests.benchmarks [NAME ...]`: measures, and compares with the budgets.

NAME is one of warm, cold, stream, pool, window, workbench, endpoint, containers, or all (the default).
`endpoint` and `containers` install what they compare with, from npm and PyPI, into a temporary folder.
On an otherwise idle machine; the budgets are for two cores. Exits 1 where a budget is missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys

from tests.benchmarks.report import Figure, print_table

_ALL = ("warm", "cold", "stream", "pool", "window", "workbench", "endpoint", "containers")


def main() -> int:
    """Run the benchmarks that were asked for, one after the other, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", metavar="NAME", help=f"{', '.join(_ALL)} or all (the default)")
    which = parser.parse_args().which or ["all"]
    unknown = set(which) - {*_ALL, "all"}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(_ALL)} and all")
    names = _ALL if "all" in which else tuple(name for name in _ALL if name in which)
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores\n")
    figures: list[Figure] = []
    try:
        for name in names:
            print(f"measuring: {name} ...", file=sys.stderr, flush=True)
            figures += importlib.import_module(f"tests.benchmarks.{name}").figures()
    finally:
        print_table(figures)
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
