"""Starts a Python function: sets the search path as Lambda has it, then runs AWS's awslambdaric.

Run as `python -S -s bootstrap.py PYCACHE FIRST... -- LAST...`: byte code goes to PYCACHE, the others
are the two ends of the search path. `-S` keeps the interpreter's site-packages (and
so Stoker's own packages) out; what `site` would have given a program is done here.

Source of the order: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

import os
import sys


def _builtins_of_site():
    import site

    site.setquit()
    site.setcopyright()
    site.sethelper()


def _load_client(client, pycache):
    """Import AWS's client before a function's own files can stand in its way."""
    # what the client needs of the standard library has byte code of its own already
    import decimal  # noqa: F401
    import json  # noqa: F401
    import logging  # noqa: F401
    import traceback  # noqa: F401

    # from here on no byte code is written beside code that is not ours, or read-only
    sys.pycache_prefix = pycache
    sys.path[:] = [*client, *sys.path]
    from awslambdaric import bootstrap, lambda_runtime_client

    return bootstrap, lambda_runtime_client.LambdaRuntimeClient


def main():
    """Prepare the interpreter and serve events until the Runtime API goes away."""
    # pathlib would cost the cold start some milliseconds
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    separator = sys.argv.index("--")
    pycache, first, last = sys.argv[1], sys.argv[2:separator], [here, *sys.argv[separator + 1 :]]
    ours = {*first, *last}
    from_environment = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in ours]
    standard = [p for p in sys.path if p not in ours and p not in from_environment]
    handler = os.environ["_HANDLER"]
    sys.argv[:] = [sys.argv[0], handler]
    _builtins_of_site()
    sys.path[:] = standard
    bootstrap, client = _load_client(last, pycache)
    sys.path[:] = [*first, *from_environment, *standard, *last]
    # no polling thread: this client's wait lets the main thread handle signals
    bootstrap.run(handler, client(os.environ["AWS_LAMBDA_RUNTIME_API"], False))


if __name__ == "__main__":
    main()
