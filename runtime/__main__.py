"""`perdure` and `python -m perdure.runtime`: the way into the command line. An edge module."""

from __future__ import annotations


def main() -> None:
    # Imported late: whoever imports this module need not pay for the command line.
    from perdure.runtime.cli.main import cli

    cli(prog_name="perdure")


if __name__ == "__main__":
    main()
