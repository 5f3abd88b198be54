//! The router namespace's fixed nf_tables rules, one batch.
