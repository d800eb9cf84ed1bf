//! The durable record of a run's calls
