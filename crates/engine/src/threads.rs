//! The same act on several objects at once, on scoped threads.

/// Does `act` to every item, each on a thread of its own, and gives the results in the
/// items' order. One item needs no thread. A panic goes on in the caller.
pub(crate) fn each<T: Send, R: Send>(items: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    if items.len() < 2 {
        return items.into_iter().map(act).collect();
    }
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || act(item)))
            .collect();
        let results = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// As [`each`], for acts that give nothing: all are tried, then all failures come back.
pub(crate) fn try_each<T: Send>(
    items: Vec<T>,
    act: impl Fn(T) -> crate::Result<()> + Sync,
) -> crate::Result<()> {
    let errors = each(items, act)
        .into_iter()
        .filter_map(Result::err)
        .collect();
    crate::Error::several(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn results_come_in_order_and_every_failure_is_told() {
        assert_eq!(each(vec![3, 1, 2], |n| n * 2), [6, 2, 4]);
        let fail = |n: i32| {
            if n > 1 {
                Err(Error::invalid(format!("no {n}")))
            } else {
                Ok(())
            }
        };
        assert!(try_each(vec![1], fail).is_ok());
        let error = try_each(vec![1, 2, 3], fail).unwrap_err().to_string();
        assert_eq!(error, "no 2\nno 3");
    }
}
