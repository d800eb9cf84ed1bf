//! Runs a checked workflow: schedules its steps and carries their values
