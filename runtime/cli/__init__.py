"""The command line. Nothing slow is imported before a command needs it: `--help` answers at once.

`main` (the commands and what becomes of errors), `exits` (exit codes), `settings` (which node,
which form of output). `serve` declares the options of a node; `serving` runs it, with `load` (the
user's app) and `logs`. `workflow` declares the commands on instances, with `payloads` (JSON on the
command line); `following` waits for one, `listing` and `output` print.
"""
