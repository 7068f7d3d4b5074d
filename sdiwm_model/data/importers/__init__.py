"""Recordings of other programs, turned into episodes: one format a module."""
