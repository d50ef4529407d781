"""Writes what is generated of the contracts; see `deploy.asyncapi`."""

from __future__ import annotations

from deploy.asyncapi.document import CONTRACTS, document
from deploy.asyncapi.page import PAGE, page
from deploy.asyncapi.text import as_yaml


def main() -> None:
    """Write the document and its page."""
    made = document()
    (CONTRACTS / "asyncapi.yaml").write_text(as_yaml(made), "utf-8")
    PAGE.write_text(page(made), "utf-8")


if __name__ == "__main__":
    main()
