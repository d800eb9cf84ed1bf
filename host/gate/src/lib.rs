//! The gate: every effect is a call that passes policy, journal and audit here
