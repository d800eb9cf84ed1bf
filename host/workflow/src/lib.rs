//! Workflow files: parsing, checking, expressions and diagnostics
