//! System call filters, compiled to sorted ranges.
