//! What rules.yml promises: parsing, errors, routing, and that the documentation's examples hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "rules/documents.rs"]
mod documents;
#[path = "rules/errors.rs"]
mod errors;
#[path = "rules/generate.rs"]
mod generate;
#[path = "rules/prefixes.rs"]
mod prefixes;
#[path = "rules/routing.rs"]
mod routing;
#[path = "rules/schemas.rs"]
mod schemas;
