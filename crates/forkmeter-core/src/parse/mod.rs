//! Parsers of text expositions.
