//! Finding what was probably meant.

/// The candidate nearest to a misspelt name, if one is near enough to be worth
/// proposing: at most a third of its characters wrong, swapped neighbours counting
/// once, case not at all.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    // Distance is quadratic; nobody misspells a name of this length.
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.to_lowercase().chars().collect();
            let allowed = (wanted.len().max(other.len()) / 3).max(1);
            let distance = distance(&wanted, &other);
            (distance <= allowed && distance < other.len()).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with insertions, deletions, substitutions and swapped neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            row[j] = (last[j] + 1)
                .min(row[j - 1] + 1)
                .min(last[j - 1] + usize::from(!same));
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed_and_far_ones_are_not() {
        let names = ["COPY", "CMD", "ENTRYPOINT", "ENV"];
        for (typed, want) in [
            ("COPYY", Some("COPY")),
            ("cpoy", Some("COPY")),
            ("ENTRPOINT", Some("ENTRYPOINT")),
            ("CMDD", Some("CMD")),
            ("WORKDIR", None),
            ("", None),
            ("XY", None),
        ] {
            assert_eq!(nearest(typed, names), want, "{typed}");
        }
        assert_eq!(nearest(&"a".repeat(1000), ["a"]), None);
    }
}
