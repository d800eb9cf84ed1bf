//! Tests of the file as a whole.

mod damage;
mod groups;
mod leases;
mod storage;
mod versions;
