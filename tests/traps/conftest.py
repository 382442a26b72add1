"""The projects are run by pytest of their own."""

collect_ignore = ["projects"]
