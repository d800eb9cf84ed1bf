//! A call's mark: what is the same after a crash, and tells the call from every other one.

use sha2::{Digest as _, Sha256};

/// No mark is longer, in characters, whatever a step is called: services keep it in names and tags.
const LONGEST: usize = 64;
/// Digits of the digest that ends a mark whose beginning alone fits.
const DIGITS: usize = 16;

/// The mark of the call at `position` of the step attempt at `address`; `run` is the run's id and
/// what tells its journal from others. One that is too long ends with a digest of the whole.
pub(super) fn mark(run: &str, address: &str, position: u64) -> String {
    let whole = format!("{run}/{address}/{position}");
    if whole.chars().count() <= LONGEST {
        return whole;
    }
    let beginning: String = whole.chars().take(LONGEST - 1 - DIGITS).collect();
    let digest = format!("{:x}", Sha256::digest(&whole));
    let digest: String = digest.chars().take(DIGITS).collect();
    format!("{beginning}~{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_mark_is_read_as_it_is() {
        assert_eq!(
            mark("7Q3M0123abcd", "test_run#1", 12),
            "7Q3M0123abcd/test_run#1/12"
        );
    }

    #[test]
    fn a_long_step_name_keeps_marks_short_and_apart() {
        let long = "a".repeat(200);
        let address = format!("{long}#1");
        let marks = [
            mark("7Q3M0123abcd", &address, 1),
            mark("7Q3M0123abcd", &address, 2),
            mark("7Q3M0123abcd", &format!("{long}#2"), 1),
            mark("7Q3M0123abcd", &format!("{long}b#1"), 1),
            mark("7Q3M0123abce", &address, 1),
        ];
        for (index, one) in marks.iter().enumerate() {
            assert_eq!(one.chars().count(), LONGEST, "{one}");
            assert!(one.starts_with("7Q3M0123abc"), "{one}");
            assert!(!marks[..index].contains(one), "{one}");
        }
        assert_eq!(
            mark("7Q3M0123abcd", &address, 1),
            marks[0],
            "the same after a crash"
        );
    }

    #[test]
    fn the_limit_itself_is_not_shortened() {
        let step = "s".repeat(LONGEST - "r//1".len());
        assert_eq!(mark("r", &step, 1), format!("r/{step}/1"));
        assert!(mark("r", &step, 10).contains('~'));
    }
}
