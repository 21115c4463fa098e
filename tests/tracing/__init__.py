"""Spans, and trace contexts that are handed on."""
