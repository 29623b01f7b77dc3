//! Few rows in which each pair of choices occurs.

/// For parameters with so many choices each: rows of one choice a parameter, such that each two
/// choices of different parameters are together in one of them. The same every time.
pub(crate) fn rows(choices: &[usize]) -> Vec<Vec<usize>> {
    const CANDIDATES: usize = 8;
    let mut random = fastrand::Rng::with_seed(1);
    let mut uncovered = Uncovered::all(choices);
    let mut rows = Vec::new();
    while let Some(seed) = uncovered.any(&mut random) {
        let candidates = (0..CANDIDATES).map(|_| candidate(choices, &uncovered, seed, &mut random));
        let row = candidates.max_by_key(|row| uncovered.within(row)).expect("some candidates");
        uncovered.cover(&row);
        rows.push(row);
    }
    rows
}

/// A row with the pair `seed`, that otherwise takes what covers most, parameter by parameter.
fn candidate(
    choices: &[usize],
    uncovered: &Uncovered,
    seed: [(usize, usize); 2],
    random: &mut fastrand::Rng,
) -> Vec<usize> {
    let mut row = vec![None; choices.len()];
    for (parameter, choice) in seed {
        row[parameter] = Some(choice);
    }
    let mut order: Vec<usize> = (0..choices.len()).filter(|parameter| row[*parameter].is_none()).collect();
    random.shuffle(&mut order);
    for parameter in order {
        let gain = |choice: &usize| {
            row.iter()
                .enumerate()
                .filter(|(other, taken)| {
                    taken.is_some_and(|taken| uncovered.has((parameter, *choice), (*other, taken)))
                })
                .count()
        };
        let mut of_parameter: Vec<usize> = (0..choices[parameter]).collect();
        random.shuffle(&mut of_parameter);
        row[parameter] = of_parameter.into_iter().max_by_key(gain);
    }
    row.into_iter().map(|choice| choice.expect("each parameter has choices")).collect()
}

/// Which pairs are in no row yet.
struct Uncovered {
    /// Number of the first choice of each parameter, when all choices are counted.
    first: Vec<usize>,
    /// For each two choices of all, the smaller one first.
    pairs: Vec<Vec<bool>>,
    left: usize,
}

impl Uncovered {
    fn all(choices: &[usize]) -> Self {
        let first: Vec<usize> =
            choices.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect();
        let total: usize = choices.iter().sum();
        let mut pairs = vec![vec![false; total]; total];
        let mut left = 0;
        for (start, count) in first.iter().zip(choices) {
            let end = start + count;
            pairs[*start..end].iter_mut().for_each(|row| row[end..].fill(true));
            left += count * (total - end);
        }
        Self { first, pairs, left }
    }

    fn index(&self, one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
        let [one, other] = [one, other].map(|(parameter, choice)| self.first[parameter] + choice);
        (one.min(other), one.max(other))
    }

    fn has(&self, one: (usize, usize), other: (usize, usize)) -> bool {
        let (one, other) = self.index(one, other);
        self.pairs[one][other]
    }

    fn any(&self, random: &mut fastrand::Rng) -> Option<[(usize, usize); 2]> {
        let all = self.pairs.iter().enumerate().flat_map(|(one, pairs)| {
            pairs.iter().enumerate().filter(|(_, open)| **open).map(move |(other, _)| [one, other])
        });
        let chosen = (self.left > 0).then(|| random.usize(..self.left))?;
        let parameter = |choice: usize| self.first.partition_point(|first| *first <= choice) - 1;
        all.into_iter()
            .nth(chosen)
            .map(|pair| pair.map(|choice| (parameter(choice), choice - self.first[parameter(choice)])))
    }

    fn within(&self, row: &[usize]) -> usize {
        pairs(row).filter(|(one, other)| self.has(*one, *other)).count()
    }

    fn cover(&mut self, row: &[usize]) {
        for (one, other) in pairs(row) {
            let (one, other) = self.index(one, other);
            self.left -= usize::from(std::mem::take(&mut self.pairs[one][other]));
        }
    }
}

fn pairs(row: &[usize]) -> impl Iterator<Item = ((usize, usize), (usize, usize))> {
    let choices = || row.iter().copied().enumerate();
    choices().flat_map(move |one| choices().skip(one.0 + 1).map(move |other| (one, other)))
}

#[test]
fn each_pair_is_in_a_row() {
    let choices = [2, 3, 2, 4, 2, 2, 1, 3];
    let rows = rows(&choices);
    for (one, ones) in choices.iter().enumerate() {
        for (other, others) in choices.iter().enumerate().skip(one + 1) {
            for (a, b) in (0..*ones).flat_map(|a| (0..*others).map(move |b| (a, b))) {
                assert!(
                    rows.iter().any(|row| row[one] == a && row[other] == b),
                    "parameter {one} as {a} with parameter {other} as {b}"
                );
            }
        }
    }
    // The two largest alone need twelve.
    assert!((12..=16).contains(&rows.len()), "{} rows", rows.len());
}
