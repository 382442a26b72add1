//! Metric kinds: what a program declares and counts with.
