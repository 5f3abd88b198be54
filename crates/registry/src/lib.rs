//! Resolve, pull and push verified bytes.
