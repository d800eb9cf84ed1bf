//! How deep an expression is, found without recursion.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

/// The length of the longest way down from the root of a tree that was parsed without macros.
pub(super) fn depth(tree: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(tree, 0)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        let mut below = |child| open.push((child, depth + 1));
        match &node.expr {
            Expr::Call(call) => call
                .target
                .as_deref()
                .into_iter()
                .chain(&call.args)
                .for_each(below),
            Expr::Select(select) => below(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(below),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        below(&entry.key);
                        below(&entry.value);
                    }
                }
            }
            // Nothing looks below a message, and there are no macros.
            Expr::Struct(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Unspecified => {}
        }
    }
    deepest
}
