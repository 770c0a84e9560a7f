"""Starts a Python function: sets the search path as Lambda has it, then runs AWS's awslambdaric.

Run as `python -S -s bootstrap.py FIRST... -- LAST...`. `-S` keeps the interpreter's site-packages (and
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


def _load_client(client):
    """Import AWS's client before a function's own files can stand in its way."""
    sys.path[:] = [*client, *sys.path]
    from awslambdaric import bootstrap, lambda_runtime_client

    return bootstrap, lambda_runtime_client.LambdaRuntimeClient


def main():
    """Prepare the interpreter and serve events until the Runtime API goes away."""
    here = os.path.dirname(os.path.abspath(__file__))
    separator = sys.argv.index("--")
    first, last = sys.argv[1:separator], [here, *sys.argv[separator + 1 :]]
    ours = {*first, *last}
    from_environment = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in ours]
    standard = [p for p in sys.path if p not in ours and p not in from_environment]
    handler = os.environ["_HANDLER"]
    sys.argv[:] = [sys.argv[0], handler]
    _builtins_of_site()
    sys.path[:] = standard
    bootstrap, client = _load_client(last)
    sys.path[:] = [*first, *from_environment, *standard, *last]
    # no polling thread: this client's wait lets the main thread handle signals
    bootstrap.run(handler, client(os.environ["AWS_LAMBDA_RUNTIME_API"], False))


if __name__ == "__main__":
    main()
