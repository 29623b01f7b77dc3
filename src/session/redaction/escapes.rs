//! Escapes of JSON and of URLs, as the services on the way write them into a text.

/// Decodes the escape with which a text begins: appends the decoded bytes, and returns the length of the escape in bytes, or none if the text does
/// not begin with one.
pub(super) type Decode = fn(&[u8], &mut Vec<u8>) -> Option<usize>;

/// Decodes an escape of JSON, or of a quoted string in Go or Java, which have some more: API servers quote values as Go does.
pub(super) fn json(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let [b'\\', kind, rest @ ..] = text else { return None };
    let byte = match kind {
        b'"' | b'\'' | b'\\' | b'/' => *kind,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'v' => 0x0b,
        _ => {
            let digits = digits(*kind)?;
            let unit = hexadecimal(rest.get(..digits)?)?;
            // A character beyond 16 bits takes two escapes, except in Go.
            let (character, length) = match char::from_u32(unit) {
                Some(character) => (character, 2 + digits),
                None if *kind == b'u' => (pair(unit, &rest[digits..])?, 12),
                None => return None,
            };
            decoded.extend(character.encode_utf8(&mut [0; 4]).bytes());
            return Some(length);
        }
    };
    decoded.push(byte);
    Some(2)
}

/// Decodes an escape of URLs. A space that is written as `+` is not one.
pub(super) fn url(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let [b'%', digits @ ..] = text else { return None };
    decoded.push(u8::try_from(hexadecimal(digits.get(..2)?)?).ok()?);
    Some(3)
}

/// Maximum length of a cut escape that [`is_cut`] recognises, in bytes.
pub(super) const LONGEST_CUT: usize = 9;

/// Returns whether `text` is the beginning of an escape, and not a whole one.
pub(super) fn is_cut(text: &[u8]) -> bool {
    match text {
        [b'%', digits @ ..] => digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit),
        [b'\\'] => true,
        [b'\\', kind, rest @ ..] => {
            // The first half of a character that takes two escapes.
            let is_half = |unit| (0xd800..0xdc00).contains(&unit);
            digits(*kind).is_some_and(|digits| {
                let is_short = rest.len() < digits && rest.iter().all(u8::is_ascii_hexdigit);
                is_short || rest.len() == digits && hexadecimal(rest).is_some_and(is_half)
            })
        }
        _ => false,
    }
}

/// Returns the number of hexadecimal digits that follow a backslash and `kind`.
fn digits(kind: u8) -> Option<usize> {
    match kind {
        b'x' => Some(2),
        b'u' => Some(4),
        b'U' => Some(8),
        _ => None,
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number: u32, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// Returns the character that `first` and the escape of six bytes after it encode together.
fn pair(first: u32, rest: &[u8]) -> Option<char> {
    let [b'\\', b'u', digits @ ..] = rest else { return None };
    let second = hexadecimal(digits.get(..4)?)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    char::decode_utf16(units).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_decoded_however_it_is_written() {
        for (text, expected) in [
            (r"\n.", Some(("\n", 2))),
            (r#"\"."#, Some(("\"", 2))),
            (r"\/.", Some(("/", 2))),
            (r"\x1b.", Some(("\u{1b}", 4))),
            (r"\u00E9.", Some(("é", 6))),
            (r"\u00e9.", Some(("é", 6))),
            (r"\ud83e\udd80.", Some(("🦀", 12))),
            (r"\U0001f980.", Some(("🦀", 10))),
            (r"\ud83e\u0041", None),
            (r"\ud83e", None),
            (r"\udd80\ud83e", None),
            (r"\u+0e9", None),
            (r"\uffff0", Some(("\u{ffff}", 6))),
            (r"\Uffffffff\u0041", None),
            (r"\U0000d83e\udd80", None),
            (r"\e", None),
            (r"\", None),
            ("n", None),
            ("", None),
        ] {
            let mut decoded = Vec::new();
            let length = json(text.as_bytes(), &mut decoded);
            assert_eq!(
                length.map(|length| (std::str::from_utf8(&decoded).expect("UTF-8"), length)),
                expected,
                "{text}"
            );
        }
        for (text, expected) in [
            ("%2fx", Some((b"/", 3))),
            ("%2Fx", Some((b"/", 3))),
            ("%c3", Some((b"\xc3", 3))),
            ("%+f", None),
            ("%2", None),
            ("+", None),
        ] {
            let mut decoded = Vec::new();
            let length = url(text.as_bytes(), &mut decoded);
            assert_eq!(
                length.map(|length| (decoded.as_slice(), length)),
                expected.map(|(bytes, length)| (bytes.as_slice(), length)),
                "{text}"
            );
        }
    }

    #[test]
    fn every_beginning_of_an_escape_is_one_that_was_cut() {
        for (whole, decode) in
            [(r"\n", json as Decode), (r"\u00e9", json), (r"\x1b", json), (r"\U0001f980", json), ("%c3", url)]
        {
            for length in 1..whole.len() {
                assert!(
                    is_cut(&whole.as_bytes()[..length]) && length <= LONGEST_CUT,
                    "{whole} cut after {length}"
                );
            }
            assert!(
                !is_cut(whole.as_bytes()) && decode(whole.as_bytes(), &mut Vec::new()) == Some(whole.len()),
                "{whole}"
            );
        }
        assert!(is_cut(br"\ud83e") && !is_cut(br"\udd80"));
        for other in ["", "n", r"\e", "%x", r"\u00x"] {
            assert!(!is_cut(other.as_bytes()), "{other}");
        }
    }
}
