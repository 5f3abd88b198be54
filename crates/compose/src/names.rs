//! The project's name.

use std::path::Path;

/// Whether a text can be a project's name: lower-case letters, digits, `_` and `-`,
/// beginning with a letter or digit.
pub(crate) fn is_project(name: &str) -> bool {
    !name.is_empty() && normalise(name) == name
}

/// The name that a directory gives: what does not fit is left out.
pub(crate) fn of_directory(directory: &Path) -> Option<String> {
    let name = directory.file_name()?.to_string_lossy().into_owned();
    Some(normalise(&name)).filter(|name| !name.is_empty())
}

fn normalise(text: &str) -> String {
    let fits = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    let kept: String = text.to_lowercase().chars().filter(fits).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_give_names_as_docker_compose_takes_them() {
        for (directory, want) in [
            ("/srv/app", Some("app")),
            ("/srv/My App.2", Some("myapp2")),
            ("/srv/_x-Y_z", Some("x-y_z")),
            ("/srv/ä", None),
            ("/", None),
        ] {
            assert_eq!(
                of_directory(Path::new(directory)).as_deref(),
                want,
                "{directory}"
            );
        }
        assert!(is_project("a-b_1"));
        assert!(!is_project("A") && !is_project("-a") && !is_project("a.b") && !is_project(""));
    }
}
