"""Prometheus metrics for programs that run as many processes."""
