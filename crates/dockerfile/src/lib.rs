//! Dockerfile text to stages and instructions.
