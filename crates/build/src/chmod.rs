//! `--chmod`: octal permissions, or the symbolic form of chmod(1).

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// These bits and no others.
    Bits(u32),
    /// Clauses applied from left to right.
    Symbolic(Vec<Clause>),
}

/// One `u+rx` of a symbolic change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Mask of the classes that it touches: 0o4700 user, 0o2070 group, 0o1007 others.
    who: u32,
    operator: char,
    permissions: String,
}

impl ModeChange {
    /// Reads a change; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok()?;
            return (bits <= 0o7777).then_some(Self::Bits(bits));
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            parse_clause(clause, &mut clauses)?;
        }
        Some(Self::Symbolic(clauses))
    }

    /// The permissions of something that had `mode`.
    pub(crate) fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Symbolic(clauses) => clauses.iter().fold(mode, |m, c| c.apply(m, is_dir)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let bits = self.permissions.chars().fold(0, |bits, c| {
            bits | match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                // Only where somebody may execute it anyway.
                'X' if is_dir || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => (mode >> 6 & 7) * 0o111,
                'g' => (mode >> 3 & 7) * 0o111,
                'o' => (mode & 7) * 0o111,
                _ => 0,
            }
        }) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !self.who | bits,
        }
    }
}

fn parse_clause(text: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let start = text.find(['+', '-', '='])?;
    let (classes, mut rest) = text.split_at(start);
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let who = if classes.is_empty() { 0o7777 } else { who };
    while let Some(operator) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let permissions = rest[..end].to_owned();
        let known = |c| "rwxXstugo".contains(c);
        if !permissions.chars().all(known) {
            return None;
        }
        clauses.push(Clause {
            who,
            operator,
            permissions,
        });
        rest = &rest[end..];
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, mode: u32) -> Option<u32> {
        ModeChange::parse(text).map(|change| change.apply(mode, false))
    }

    #[test]
    fn reads_octal_and_symbolic_forms() {
        for (text, before, after) in [
            ("755", 0o644, 0o755),
            ("0600", 0o755, 0o600),
            ("4755", 0o644, 0o4755),
            ("+x", 0o644, 0o755),
            ("u+x", 0o644, 0o744),
            ("go-rwx", 0o755, 0o700),
            ("u=rw,go=r", 0o777, 0o644),
            ("a=rX", 0o644, 0o444),
            ("a=rX", 0o744, 0o555),
            ("u+s", 0o755, 0o4755),
            ("g=u", 0o740, 0o770),
            ("u+rw-x", 0o100, 0o600),
        ] {
            assert_eq!(changed(text, before), Some(after), "{text}");
        }
        for bad in ["", "9", "77777", "x", "u", "u+q", "z+x", "u=rw,"] {
            assert_eq!(changed(bad, 0o644), None, "{bad}");
        }
        let for_dirs = ModeChange::parse("a+X").unwrap();
        assert_eq!(for_dirs.apply(0o600, true), 0o711);
    }
}
