//! States as values: what `before` and `after` of a call are made of.

use lockkeeper_types::Value;
use serde::{Serialize, de::DeserializeOwned};

/// The state that `value` describes.
pub(crate) fn of<T: Serialize>(value: &T) -> Option<Value> {
    serde_json::to_value(value)
        .ok()
        .filter(|state| !state.is_null())
}

/// What a state describes.
pub(crate) fn read<T: DeserializeOwned>(state: Option<&Value>) -> Option<T> {
    T::deserialize(state?).ok()
}

/// The state of a list that is there as long as it has items. Every list is kept sorted, so that
/// equal lists are equal states.
pub(super) fn of_list<T: Serialize>(items: &[T]) -> Option<Value> {
    if items.is_empty() { None } else { of(&items) }
}

/// The items of a list's state.
pub(super) fn read_list<T: DeserializeOwned>(state: Option<&Value>) -> Vec<T> {
    read(state).unwrap_or_default()
}
