"""The command `courier`, also as `python -m service`: a probe is answered without the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line.

    A container asks `check --ready` every few seconds: what only the other commands need takes a
    second to import, and is left out for it.
    """
    first, *options = sys.argv[1:] or [""]
    if first == "check" and "--ready" in options and {"--ready", "--json"}.issuperset(options):
        from service.checks import ready  # noqa: PLC0415  see above

        sys.exit(ready.main(as_json="--json" in options))
    from service import cli  # noqa: PLC0415  see above

    cli.main()


if __name__ == "__main__":
    main()
