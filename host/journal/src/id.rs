//! Run ids: short, easy to read aloud, found by a prefix.

use ring::rand::{SecureRandom, SystemRandom};

/// Crockford's base 32: without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The shortest and the longest id.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=6;

/// How many ids of one length are tried before a longer one.
const TRIES: usize = 8;

/// A random id for which `taken` says no; `None` if the system gives no randomness or all are taken.
pub(crate) fn fresh<E>(taken: impl Fn(&str) -> Result<bool, E>) -> Result<Option<String>, E> {
    let random = SystemRandom::new();
    for length in LENGTHS {
        for _ in 0..TRIES {
            let mut bytes = vec![0; length];
            if random.fill(&mut bytes).is_err() {
                return Ok(None);
            }
            let id: String = bytes
                .iter()
                .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
                .map(|letter| char::from(*letter))
                .collect();
            if !taken(&id)? {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

/// `text` as ids are written: upper case, and the letters that are no digits read as the digits
/// they look like.
pub(crate) fn normal(text: &str) -> String {
    text.trim()
        .chars()
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn an_id_is_short_and_readable() {
        let id = fresh(|_| Ok::<_, Infallible>(false)).unwrap().unwrap();
        assert_eq!(id.len(), 4);
        assert_eq!(normal(&id.to_lowercase()), id);
    }

    #[test]
    fn taken_ids_grow_longer() {
        let id = fresh(|id| Ok::<_, Infallible>(id.len() < 6)).unwrap();
        assert_eq!(id.unwrap().len(), 6);
        assert_eq!(fresh(|_| Ok::<_, Infallible>(true)).unwrap(), None);
    }

    #[test]
    fn letters_read_as_the_digits_they_look_like() {
        assert_eq!(normal(" 7qOl "), "7Q01");
    }
}
