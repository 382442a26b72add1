"""OpenMetrics: its encoder and its parser."""
