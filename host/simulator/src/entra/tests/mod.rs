//! The token endpoint and Graph, over HTTP.

mod applications;
mod federation;
mod principals;
mod replication;
mod tokens;
