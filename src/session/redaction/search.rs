//! Search for values in a text, in every form in which services may have escaped them.

use std::ops::Range;

use super::escapes::{Decode, LONGEST_CUT, is_cut, json, url};

/// Replacement of a hidden value.
pub(crate) const LEFT_OUT: &str = "***";

/// Maximum number of services on the way that may each have escaped the text of the one before: the API server quotes a webhook's text about JSON.
const MOST_ESCAPES: usize = 2;
/// Separator after each form of the text, which no value contains: UTF-8 does not have it.
const END: u8 = 0xff;

/// A text, unchanged or with escapes decoded.
struct Form {
    bytes: Vec<u8>,
    /// Position in the text from which each byte comes, and the text's length.
    places: Vec<usize>,
}

impl Form {
    /// Decodes each escape of one kind, and returns nothing if there is none.
    fn decoded(&self, decode: Decode) -> Option<Self> {
        let (mut bytes, mut places, mut at) = (Vec::new(), Vec::new(), 0);
        while at < self.bytes.len() {
            let length = decode(&self.bytes[at..], &mut bytes).unwrap_or_else(|| {
                bytes.push(self.bytes[at]);
                1
            });
            places.resize(bytes.len(), self.places[at]);
            at += length;
        }
        places.extend(self.places.last());
        (bytes.len() < self.bytes.len()).then_some(Self { bytes, places })
    }

    /// Returns, for each position at which a service may have cut a value off, the position up to which the value's remains reach: both are the same
    /// unless the beginning of an escape stands between them. A service cuts a text at its end, as Athena does, or writes dots after the cut. Quotes,
    /// backslashes and spaces between the position and the cut are ignored.
    fn cuts(&self) -> Vec<Option<usize>> {
        let length = self.bytes.len();
        let mut cuts = vec![None; length + 1];
        cuts[length] = Some(length);
        for place in (0..length).rev() {
            let rest = &self.bytes[place..];
            let ignored = match rest {
                [b'"' | b'\'' | b'`' | b' ' | b'\\', ..] => 1,
                // Stands for a part of a character.
                _ if rest.starts_with("\u{fffd}".as_bytes()) => "\u{fffd}".len(),
                _ => 0,
            };
            let escape = (1..=LONGEST_CUT.min(rest.len()))
                .find_map(|length| cuts[place + length].filter(|_| is_cut(&rest[..length])));
            let is_end = ["...", "\u{2026}"].iter().any(|dots| rest.starts_with(dots.as_bytes()));
            cuts[place] = if is_end || escape.is_none() && ignored > 0 && cuts[place + ignored].is_some() {
                Some(place)
            } else {
                escape
            };
        }
        cuts
    }
}

/// Returns all forms of `text`, the text itself first, without two that are the same.
fn forms(text: &str) -> Vec<Form> {
    let mut forms = vec![Form { bytes: text.as_bytes().to_vec(), places: (0..=text.len()).collect() }];
    let mut begin = 0;
    for _ in 0..MOST_ESCAPES {
        let end = forms.len();
        for (number, decode) in (begin..end).flat_map(|number| [(number, json as Decode), (number, url)]) {
            if let Some(form) = forms[number]
                .decoded(decode)
                .filter(|form| forms.iter().all(|other| other.bytes != form.bytes))
            {
                forms.push(form);
            }
        }
        begin = end;
    }
    forms
}

/// A search for values in a text, and the places that it hides.
pub(super) struct Search<'a> {
    text: &'a str,
    /// All forms of the text, in lower case and each with an end.
    bytes: Vec<u8>,
    /// Position in the text from which each byte comes.
    places: Vec<usize>,
    /// For each byte, the last position, at or before it, at which a service may have cut the form off (0 if there is none), and the position in the
    /// text up to which the remains of the cut value reach: see [`Form::cuts`].
    cuts: Vec<(usize, usize)>,
    /// Positions of ARNs in the text, in order.
    arns: Vec<Range<usize>>,
    /// For each place of the text, the end of the hidden range that starts there; 0 if no value stands there. A list of values would grow with their
    /// number.
    hidden: Vec<usize>,
    /// Buffers of one search.
    joined: Vec<u8>,
    common: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Prepares a search in `text`.
    pub(super) fn new(text: &'a str) -> Self {
        let (mut bytes, mut places, mut cuts, mut found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut last = (0, 0);
        for form in forms(text) {
            for (place, upto) in form.cuts().into_iter().enumerate() {
                last = upto.map_or(last, |upto| (bytes.len() + place, form.places[upto]));
                cuts.push(last);
            }
            found.extend(
                arns(&form.bytes).into_iter().map(|arn| form.places[arn.start]..form.places[arn.end]),
            );
            bytes.extend(form.bytes.iter().copied().map(folded).chain([END]));
            places.extend(form.places);
        }
        found.sort_by_key(|arn| arn.start);
        let mut arns: Vec<Range<usize>> = Vec::new();
        for arn in found {
            match arns.last_mut().filter(|last| arn.start < last.end) {
                Some(last) => last.end = last.end.max(arn.end),
                None => arns.push(arn),
            }
        }
        Self {
            text,
            bytes,
            places,
            cuts,
            arns,
            hidden: vec![0; text.len()],
            joined: Vec::new(),
            common: Vec::new(),
        }
    }

    /// Hides `value` wherever it stands as a whole word or more, and not within an ARN; and each beginning of it at which the text may have been cut,
    /// if `is_secret` returns true for its length in bytes. It takes time linear in the length of the text.
    pub(super) fn hide(&mut self, value: &str, is_secret: impl Fn(usize) -> bool) {
        self.joined.clear();
        // The text has no room for a longer part of the value.
        self.joined.extend(value.bytes().take(self.text.len() + 1).map(folded));
        let length = self.joined.len();
        self.joined.extend_from_slice(&self.bytes);
        common(&self.joined, &mut self.common);
        for place in 0..self.bytes.len() {
            let common = self.common[length + place].min(length);
            if common == 0 || is_within_word(&self.bytes, place) {
                continue;
            }
            let end = place + common;
            let end = if common == value.len() && !is_within_word(&self.bytes, end) {
                self.places[end]
            } else {
                match self.cuts[end] {
                    (cut, upto) if cut > place && is_secret(cut - place) => upto,
                    _ => continue,
                }
            };
            let start = self.places[place];
            if end > self.hidden[start] && !self.is_within_arn(start, end) {
                self.hidden[start] = end;
            }
        }
    }

    /// Returns whether an ARN contains `start..end`, and more.
    fn is_within_arn(&self, start: usize, end: usize) -> bool {
        let before = self.arns.partition_point(|arn| arn.start <= start);
        before
            .checked_sub(1)
            .map(|last| &self.arns[last])
            .is_some_and(|arn| end <= arn.end && *arn != (start..end))
    }

    /// Returns the text without the hidden values.
    pub(super) fn shown(&self) -> String {
        let (mut shown, mut from, mut place) = (String::with_capacity(self.text.len()), 0, 0);
        while place < self.hidden.len() {
            let start = place;
            let mut end = self.hidden[start];
            place += 1;
            if end == 0 {
                continue;
            }
            // One value may be a part of another, or overlap it.
            while place <= end && place < self.hidden.len() {
                end = end.max(self.hidden[place]);
                place += 1;
            }
            shown.extend([&self.text[from..self.text.floor_char_boundary(start).max(from)], LEFT_OUT]);
            from = self.text.ceil_char_boundary(end);
        }
        shown.push_str(&self.text[from..]);
        shown
    }
}

/// Returns `byte` in lower case, and `+` as a space: a service that repeats a value may have changed its case, and written spaces as `+`.
fn folded(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte.to_ascii_lowercase() }
}

/// Returns whether a word continues at `place`. Other letters than those of ASCII end a word, since not every script has spaces.
fn is_within_word(text: &[u8], place: usize) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    place.checked_sub(1).and_then(|before| text.get(before)).is_some_and(is_part)
        && text.get(place).is_some_and(is_part)
}

/// Finds how much of the beginning of `text` stands at each of its places but the first, in time linear in its length: the Z algorithm.
fn common(text: &[u8], lengths: &mut Vec<usize>) {
    let (mut start, mut end) = (0, 0);
    lengths.clear();
    lengths.extend(text.first().map(|_| 0));
    for place in 1..text.len() {
        let mut length = if place < end { lengths[place - start].min(end - place) } else { 0 };
        while text.get(place + length).is_some_and(|byte| *byte == text[length]) {
            length += 1;
        }
        if place + length > end {
            (start, end) = (place, place + length);
        }
        lengths.push(length);
    }
}

/// Finds the ARNs in `text`. A comma and `=` can be part of one, but more often separate settings: the text after them does not count as part of the
/// ARN.
fn arns(text: &[u8]) -> Vec<Range<usize>> {
    const BEGIN: &[u8] = b"arn:aws";
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+@/:.*".contains(byte);
    let mut arns = Vec::new();
    let mut place = 0;
    for run in text.split(|byte| !is_part(byte)) {
        let begins =
            |at: &usize| run[*at..].starts_with(BEGIN) && !is_within_word(run, *at) && is_arn(&run[*at..]);
        let last = run.iter().rposition(|byte| !matches!(byte, b'.' | b':'));
        if let (Some(start), Some(last)) = ((0..run.len()).find(begins), last) {
            arns.push(place + start..place + last + 1);
        }
        place += run.len() + 1;
    }
    arns
}

/// Returns whether `text` has the parts of an ARN: `arn:partition:service:region:account:resource`.
fn is_arn(text: &[u8]) -> bool {
    let parts: Vec<&[u8]> = text.splitn(6, |byte| *byte == b':').collect();
    let is_name =
        |part: &&[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*'));
    matches!(parts.as_slice(), [_, scope @ .., resource] if scope.len() == 4 && scope.iter().all(is_name) && resource.iter().any(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_has_in_common_with_its_beginning_is_found_at_each_place() {
        for (text, expected) in [
            ("abab", &[0, 0, 2, 0][..]),
            ("aaaab", &[0, 3, 2, 1, 0]),
            ("aabaaab", &[0, 1, 0, 2, 3, 1, 0]),
            ("xyz", &[0, 0, 0]),
            ("", &[]),
        ] {
            let mut lengths = vec![7];
            common(text.as_bytes(), &mut lengths);
            assert_eq!(lengths, expected, "{text}");
        }
    }

    #[test]
    fn an_arn_ends_where_something_else_begins() {
        for (text, expected) in [
            (
                "User: arn:aws:sts::123456789012:assumed-role/etl/x is not",
                &["arn:aws:sts::123456789012:assumed-role/etl/x"][..],
            ),
            ("on arn:aws-cn:s3:::bucket/key.", &["arn:aws-cn:s3:::bucket/key"]),
            (
                "\"arn:aws:iam::1:role/a\",\"arn:aws:iam::1:role/b\"",
                &["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"],
            ),
            ("role=arn:aws:iam::1:role/a,password=b", &["arn:aws:iam::1:role/a"]),
            ("resource:arn:aws:athena:*:*:workgroup/*", &["arn:aws:athena:*:*:workgroup/*"]),
            ("an arn:aws:iam::1 of three, learn:aws:a:b:c:d, arn:other:a:b:c:d, arn:aws:a/b:c:d:e", &[]),
            ("arn:aws:iam::1:::", &[]),
            ("", &[]),
        ] {
            let found: Vec<&str> = arns(text.as_bytes()).into_iter().map(|arn| &text[arn]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_text_may_have_been_cut_at_its_end_and_before_dots() {
        let cuts = |text: &str| -> Vec<(usize, usize)> {
            forms(text)[0]
                .cuts()
                .into_iter()
                .enumerate()
                .filter_map(|(place, upto)| Some((place, upto?)))
                .collect()
        };
        assert_eq!(cuts("a \"b"), [(4, 4)]);
        assert_eq!(cuts("a \"b' \""), [(4, 4), (5, 5), (6, 6), (7, 7)]);
        assert_eq!(cuts("ab\\... c\u{2026}"), [(2, 3), (3, 3), (8, 8), (11, 11)]);
        assert_eq!(cuts("ab%2"), [(2, 4), (4, 4)]);
        assert_eq!(cuts(r"ab\\u00"), [(2, 7), (3, 7), (7, 7)]);
        assert_eq!(cuts("ab\u{fffd}"), [(2, 2), (5, 5)]);
    }

    #[test]
    fn each_form_of_a_text_is_there_once() {
        let read = |text: &str| -> Vec<String> {
            forms(text).into_iter().map(|form| String::from_utf8(form.bytes).expect("UTF-8")).collect()
        };
        assert_eq!(read("plain + text"), ["plain + text"]);
        assert_eq!(read(r#"\\\"%20"#), [r#"\\\"%20"#, r#"\"%20"#, r#"\\\" "#, "\"%20", r#"\" "#]);
        assert_eq!(read("%255C"), ["%255C", "%5C", "\\"]);
    }
}
