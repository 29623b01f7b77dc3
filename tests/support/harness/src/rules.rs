//! Rules of what goes wrong with calls.

/// Takes the rule that strikes a call, counting it: the first that is for the call, spares none any more and `strikes`. A rule that is used up is removed.
/// `counts` are how many calls a rule spares before it strikes, and how many it still strikes; without a number, all.
pub fn take<R: Clone>(
    rules: &mut Vec<R>,
    is_for: impl Fn(&R) -> bool,
    counts: impl Fn(&mut R) -> (&mut u32, &mut Option<u32>),
    mut strikes: impl FnMut(&R) -> bool,
) -> Option<R> {
    let mut taken = None;
    rules.retain_mut(|rule| *counts(rule).1 != Some(0));
    for rule in rules.iter_mut().filter(|rule| is_for(rule)) {
        let (spared, _) = counts(rule);
        if *spared > 0 {
            *spared -= 1;
        } else if strikes(rule) {
            let (_, left) = counts(rule);
            *left = left.map(|left| left - 1);
            taken = Some(rule.clone());
            break;
        }
    }
    rules.retain_mut(|rule| *counts(rule).1 != Some(0));
    taken
}
