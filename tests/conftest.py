"""Stands here so that pytest puts this folder on the path: tests import helpers such as `idx_files` from it."""
