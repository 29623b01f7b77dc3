//! Rules of what goes wrong with calls.

/// Returns the fault rule that applies to a call, and updates the rules' counters. A rule applies if `is_for` selects it, if it has spared as many
/// calls as it should, and if `strikes` returns true; the first one in `rules` wins. Every selected rule before it that still spares calls spares this
/// one. `counts` returns a rule's two counters: calls yet to be spared, and calls yet to be struck (none for no limit). Removes rules that are used up.
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
