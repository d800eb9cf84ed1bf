//! Errors that say what was refused, what it means and what to do.

use crate::types::{Error, Failure, StepError};

impl Error {
    /// A refusal by the plugin itself. `class` is a case of the variant; `operation` is the
    /// operation whose answer led to it.
    pub fn of(class: fn(Failure) -> Self, operation: &str, code: &str, message: String) -> Self {
        class(Failure {
            service: "lockkeeper".to_owned(),
            operation: operation.to_owned(),
            status: 0,
            code: code.to_owned(),
            message,
            request_id: String::new(),
        })
    }

    /// What the service said.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::NotFound(failure)
            | Self::Conflict(failure)
            | Self::Denied(failure)
            | Self::Invalid(failure)
            | Self::Throttled(failure)
            | Self::NotYetVisible(failure)
            | Self::Unavailable(failure)
            | Self::Other(failure) => failure,
        }
    }

    /// Whether the service's code is `text`, or its message contains it.
    pub fn says(&self, text: &str) -> bool {
        let failure = self.failure();
        failure.code == text || failure.message.contains(text)
    }

    /// Whether the object is not there, or not there yet: the same thing soon after it was made.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::NotYetVisible(_))
    }

    /// This error with its meaning and what to do next, one sentence each.
    pub fn because(self, cause: impl Into<String>, help: impl Into<String>) -> StepError {
        StepError {
            error: self,
            cause: Some(cause.into()),
            help: Some(help.into()),
        }
    }
}

impl From<Error> for StepError {
    /// With the explanation that holds for a class wherever it comes from.
    fn from(error: Error) -> Self {
        let (cause, help) = match &error {
            Error::Denied(failure) if failure.service == "lockkeeper" => (
                "the operator's file does not grant this call to the plugin",
                "change the plugin's grants in lockkeeper.toml as the message says, if the step should have it, and resume the run",
            ),
            Error::Throttled(_) => (
                "the service takes no more requests from this caller or tenant for now",
                "resume the run later; what is done is not repeated",
            ),
            Error::Unavailable(_) => (
                "the service cannot be reached or has failed",
                "resume the run later; what is done is not repeated",
            ),
            _ => {
                return Self {
                    error,
                    cause: None,
                    help: None,
                };
            }
        };
        error.because(cause, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_by_the_gate_names_the_operators_file() {
        let denied = Error::of(Error::Denied, "x/y.z", "NotGranted", "no".to_owned());
        assert!(denied.says("NotGranted"));
        assert!(!denied.says("nothing of this"));
        let step = StepError::from(denied);
        assert!(step.help.unwrap().contains("lockkeeper.toml"));
    }

    #[test]
    fn a_missing_object_may_only_be_late() {
        for (class, missing) in [
            (Error::NotFound as fn(Failure) -> Error, true),
            (Error::NotYetVisible, true),
            (Error::Denied, false),
            (Error::Other, false),
        ] {
            let error = Error::of(class, "x", "C", String::new());
            assert_eq!(error.is_missing(), missing);
        }
    }
}
