//! The tree, its places, and its refusals.

use text::{Sources, render};

use super::*;

fn read(text: &str) -> (Vec<Node>, String) {
    let mut sources = Sources::new();
    let file = sources.add("compose.yaml", text);
    let (documents, diagnostics) = parse(file, text);
    (documents, render(&sources, &diagnostics, false))
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => {
            format!(
                "[{}]",
                items.iter().map(show).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Map(map) => {
            let entries = map.iter().map(|e| format!("{}: {}", e.key, show(&e.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        _ => node.scalar_text().unwrap(),
    }
}

#[track_caller]
fn tree(text: &str, want: &str) {
    let (documents, complaints) = read(text);
    assert_eq!(complaints, "", "{text}");
    assert_eq!(
        documents.iter().map(show).collect::<Vec<_>>().join(" --- "),
        want,
        "{text}"
    );
}

#[test]
fn the_tree_is_what_the_file_says() {
    tree(
        "a: 1\nb: [x, 'y', \"1\"]\nc:\n",
        "{a: 1, b: [\"x\", \"y\", \"1\"], c: null}",
    );
    tree(
        "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
        "{a: \"x\\ny\\n\", b: \"x y\"}",
    );
    tree("a: !!str 1\nb: !!int \"2\"\n", "{a: \"1\", b: 2}");
    tree("a: 1\n---\nb: 2\n", "{a: 1} --- {b: 2}");
    tree("0440: x\ntrue: y\n", "{0440: \"x\", true: \"y\"}");
    tree("", "");
    tree("\u{feff}a: 1\n", "{a: 1}");
    tree("a:\r\n  - b\r\n", "{a: [\"b\"]}");
}

#[test]
fn aliases_and_merge_keys() {
    tree(
        "a: &x {p: 1, q: 2}\nb: *x\n",
        "{a: {p: 1, q: 2}, b: {p: 1, q: 2}}",
    );
    tree(
        "a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n",
        "{a: {p: 1, q: 2}, b: {q: 3, p: 1}}",
    );
    tree(
        "a: &x {p: 1}\nb: &y {p: 2, r: 3}\nc:\n  <<: [*x, *y]\n",
        "{a: {p: 1}, b: {p: 2, r: 3}, c: {p: 1, r: 3}}",
    );
    tree("a: {\"<<\": 1}\n", "{a: {<<: 1}}");
    tree("a: &n name\n*n : 1\n", "{a: \"name\", name: 1}");
}

#[test]
fn spans_are_bytes_of_the_source() {
    let text = "ä: ö\nlist:\n  - ü x\n\nlast: {k: v}\n";
    let (documents, _) = read(text);
    let map = documents[0].as_map().unwrap();
    let slice = |span: Span| &text[span.range()];
    assert_eq!(slice(map.entry("ä").unwrap().key_span), "ä");
    assert_eq!(slice(map.get("ä").unwrap().span), "ö");
    assert_eq!(slice(map.get("list").unwrap().span), "- ü x");
    assert_eq!(slice(map.get("last").unwrap().span), "{k: v}");
}

#[test]
fn tags_of_compose_are_kept_and_others_named() {
    let (documents, complaints) = read("a: !reset []\nb: !override {x: 1}\nc: !reset null\n");
    let map = documents[0].as_map().unwrap();
    assert_eq!(complaints, "");
    assert_eq!(map.get("a").unwrap().tag, Some(MergeTag::Reset));
    assert_eq!(map.get("b").unwrap().tag, Some(MergeTag::Override));
    assert_eq!(map.get("c").unwrap().tag, Some(MergeTag::Reset));
    insta::assert_snapshot!(read("a: !foo x\n").1, @"
    warning: tag `!foo` is ignored
     --> compose.yaml:1:4
      |
    1 | a: !foo x
      |    ^^^^^^
    hint: compose knows the tags `!reset` and `!override`
    ");
}

#[test]
fn a_key_that_is_there_twice_is_refused_with_both_lines() {
    insta::assert_snapshot!(read("services:\n  web: 1\n  db: 2\n  web: 3\n").1, @"
    error: key `web` is there twice
     --> compose.yaml:4:3
      |
    2 |   web: 1
      |   --- first here
    3 |   db: 2
    4 |   web: 3
      |   ^^^ again here
    ");
}

#[test]
fn broken_yaml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(read("a:\n\tb: 1\n").1, @"
    error: not YAML: tabs disallowed within this context (block indentation)
     --> compose.yaml:2:2
      |
    2 |     b: 1
      |     ^
    hint: indent with spaces: YAML does not allow tabs there
    ");
    insta::assert_snapshot!(read("a: b: c\n").1, @"
    error: not YAML: mapping values are not allowed in this context
     --> compose.yaml:1:5
      |
    1 | a: b: c
      |     ^
    hint: a value that contains `: ` must be put in quotes
    ");
    insta::assert_snapshot!(read("a:\n  - x\n b: 1\n").1, @"
    error: not YAML: while parsing a block mapping, did not find expected key
     --> compose.yaml:3:2
      |
    3 |  b: 1
      |  ^
    ");
    insta::assert_snapshot!(read("a: [1, 2\nb: 3\n").1, @"
    error: not YAML: illegal placement of ':' indicator
     --> compose.yaml:2:2
      |
    2 | b: 3
      |  ^
    ");
    insta::assert_snapshot!(read("a: 'x\n").1, @"
    error: not YAML: while scanning a quoted scalar, found unexpected end of stream
     --> compose.yaml:1:4
      |
    1 | a: 'x
      |    ^
    ");
    insta::assert_snapshot!(read("a: *nowhere\n").1, @"
    error: not YAML: while parsing node, found unknown anchor
     --> compose.yaml:1:4
      |
    1 | a: *nowhere
      |    ^
    ");
    insta::assert_snapshot!(read("a: &a [*a]\n").1, @"
    error: an alias inside of what it stands for
     --> compose.yaml:1:8
      |
    1 | a: &a [*a]
      |        ^^
    ");
    insta::assert_snapshot!(read("? {a: 1}\n: x\n").1, @"
    error: a list or mapping where a key belongs
     --> compose.yaml:1:3
      |
    1 | ? {a: 1}
      |   ^
    ");
    insta::assert_snapshot!(read("a:\n  <<: 1\n").1, @"
    error: `<<` needs a mapping, or a list of mappings
     --> compose.yaml:2:7
      |
    2 |   <<: 1
      |       ^
    ");
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        let items = [previous.as_str(); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(read(&text).1.contains("too large"));
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 1000].join(", ")
    );
    assert!(read(&long).1.contains("too large"));
}

#[test]
fn deep_nesting_is_refused() {
    // Here the parser's own limit comes first.
    assert!(read(&"[".repeat(5000)).1.contains("recursion limit"));
    assert!(read(&"[".repeat(120)).1.contains("levels deep"));
    assert!(
        read(&format!("{}x\n", "- ".repeat(5000)))
            .1
            .contains("levels deep")
    );
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..200 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(read(&text).1.contains("levels deep"));
}
