//! Runs a checked workflow: schedules its steps and carries their values.

mod adopt;
mod catalogue;
mod crash;
mod drift;
mod engine;
mod error;
mod lock;
mod plan;
mod report;
mod run;
mod schedule;
mod step;
mod undo;

pub use catalogue::{Catalogue, Component};
pub use drift::Difference;
pub use engine::Engine;
pub use error::EngineError;
pub use lock::{Lock, LockError};
pub use plan::{ChangedOutside, Counts, PlanReport, Sent};
pub use report::{RunReport, RunResult, StepFailure, StepReport, StepResult};
pub use undo::{LeftBehind, Remains, UndoItem, UndoPlan, UndoReport, UndoSelection, UndoState};
