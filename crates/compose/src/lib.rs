//! Compose files to a project, every complaint pointing at its line.
