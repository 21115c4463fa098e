"""Workflows and activities whose code is in other processes, connected by streams."""
