"""Bridges to other monitoring systems."""
