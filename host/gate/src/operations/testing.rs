//! The laws that every write keeps, for the tests beside the operations.

use lockkeeper_types::Value;

use crate::operation::{Inverse, Placeholders, Write};

pub(super) const PLACEHOLDERS: Placeholders<'static> = Placeholders {
    step: "step",
    position: 3,
};

/// Checks that the inverse of `call` leads from the state it leaves back to the one it found, and
/// returns the inverse. One that is impossible leaves nothing to check.
pub(super) fn taken_back<W: Write>(
    call: &W,
    before: Option<&Value>,
    output: &W::Output,
) -> Inverse {
    let after = call.after(before, output);
    let inverse = call.inverse(before, output);
    match &inverse {
        Inverse::Nothing => assert_eq!(after.as_ref(), before, "nothing to take back"),
        Inverse::Call(name, arguments) => {
            let definition = crate::operations::find(name).unwrap();
            assert_eq!(
                definition.object(arguments).unwrap(),
                call.object(),
                "one object"
            );
            let output = definition
                .preview(arguments, after.as_ref(), &PLACEHOLDERS)
                .unwrap();
            let restored = definition
                .after(arguments, after.as_ref(), &output)
                .unwrap();
            assert_eq!(restored.as_ref(), before, "back to where it was");
        }
        Inverse::Impossible(reason) => assert!(!reason.is_empty()),
    }
    inverse
}

/// The name of the operation that takes a call back.
pub(super) fn name(inverse: &Inverse) -> Option<&'static str> {
    match inverse {
        Inverse::Call(name, _) => Some(name),
        Inverse::Nothing | Inverse::Impossible(_) => None,
    }
}
