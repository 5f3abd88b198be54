//! Source text with spans, diagnostics, variable expansion and Go-style globs.
