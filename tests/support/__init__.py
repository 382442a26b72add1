"""What the tests share: processes, the official client as an oracle, promtool."""
