"""One process: the workflow engine on actors, its storage, HTTP API, client and command line."""
