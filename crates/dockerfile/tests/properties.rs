//! What holds for every text.

use dockerfile::{Dockerfile, Instruction, Source, Word};
use proptest::prelude::*;
use text::FileId;

/// Texts that look enough like Dockerfiles to reach every corner of the parser.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("FROM a AS b\n"),
        Just("\nRUN "),
        Just("\nCOPY "),
        Just("\nADD "),
        Just("\nENV "),
        Just("\nARG "),
        Just("\nLABEL "),
        Just("\nCMD "),
        Just("\nENTRYPOINT "),
        Just("\nEXPOSE "),
        Just("\nVOLUME "),
        Just("\nUSER "),
        Just("\nWORKDIR "),
        Just("\nONBUILD "),
        Just("\nSHELL "),
        Just("\nHEALTHCHECK "),
        Just("NONE"),
        Just("\nSTOPSIGNAL "),
        Just("\nMAINTAINER "),
        Just("# escape=`\n"),
        Just("--from="),
        Just("--mount=type=cache,target="),
        Just("--"),
        Just("<<EOF"),
        Just("<<-'X'"),
        Just("\nEOF\n"),
        Just("\n\tX\n"),
        Just("["),
        Just("]"),
        Just("\""),
        Just("'"),
        Just(","),
        Just("\\"),
        Just("`"),
        Just("\\\n"),
        Just("\r\n"),
        Just("\n"),
        Just("#"),
        Just(" "),
        Just("\t"),
        Just("="),
        Just("$"),
        Just("${"),
        Just("}"),
        Just(":-"),
        Just("x"),
        Just("ü"),
        Just("8000"),
        Just("\\u12"),
        Just("\u{feff}"),
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

fn words(file: &Dockerfile) -> Vec<&Word> {
    let mut words: Vec<&Word> = Vec::new();
    for stage in &file.stages {
        words.push(&stage.base);
        words.extend(&stage.name);
        words.extend(&stage.platform);
        for step in &stage.steps {
            match &step.instruction {
                Instruction::Env(pairs) | Instruction::Label(pairs) => {
                    words.extend(pairs.iter().flat_map(|pair| [&pair.key, &pair.value]));
                }
                Instruction::Copy(copy) => {
                    words.push(&copy.target);
                    words.extend(&copy.from);
                    words.extend(copy.sources.iter().map(|source| match source {
                        Source::Path(path) => path,
                        Source::Heredoc(heredoc) => &heredoc.text,
                    }));
                }
                Instruction::Run(run) => words.extend(run.heredocs.iter().map(|it| &it.text)),
                Instruction::User(word) | Instruction::Workdir(word) => words.push(word),
                _ => {}
            }
        }
    }
    words
}

proptest! {
    #[test]
    fn never_panics_and_spans_lie_inside(text in fragments()) {
        let (file, diagnostics) = dockerfile::parse(FileId(0), &text);
        for diagnostic in &diagnostics {
            let span = diagnostic.span.expect("every complaint has a place");
            prop_assert!(text.get(span.range()).is_some(), "{diagnostic:?}");
        }
        for word in words(&file) {
            prop_assert!(text.get(word.span.range()).is_some(), "{word:?}");
            for (at, c) in word.text.char_indices() {
                let place = word.locate(at, at + c.len_utf8());
                prop_assert!(text.get(place.range()).is_some(), "{word:?} {at}");
            }
        }
        for step in file.stages.iter().flat_map(|stage| &stage.steps) {
            prop_assert!(text.get(step.span.range()).is_some(), "{step:?}");
        }
    }

    #[test]
    fn any_text_is_taken(text in ".{0,200}") {
        dockerfile::parse(FileId(0), &text);
        dockerfile::parse_trigger(FileId(0), &text);
        dockerfile::ignore::Ignore::parse(FileId(0), &text);
    }

    #[test]
    fn a_json_list_gives_its_strings_back(argv in prop::collection::vec("[^\u{0}-\u{1f}]{0,10}", 1..5)) {
        let quoted: Vec<String> = argv
            .iter()
            .map(|arg| format!("\"{}\"", arg.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        let text = format!("FROM a\nCMD [{}]", quoted.join(" , "));
        let (file, _) = dockerfile::parse(FileId(0), &text);
        let Instruction::Cmd(dockerfile::Command::Exec(words)) = &file.stages[0].steps[0].instruction
        else {
            panic!("{text}");
        };
        let back: Vec<&str> = words.iter().map(Word::as_str).collect();
        prop_assert_eq!(back, argv);
    }

    #[test]
    fn a_heredoc_gives_its_lines_back(lines in prop::collection::vec("[^\r\n]{0,12}", 0..6)) {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        prop_assume!(!lines.iter().any(|line| line == "END"));
        let text = format!("FROM a\nCOPY <<'END' /x\n{body}END\nUSER u\n");
        let (file, diagnostics) = dockerfile::parse(FileId(0), &text);
        prop_assert!(diagnostics.is_empty(), "{:?}", diagnostics);
        let Instruction::Copy(copy) = &file.stages[0].steps[0].instruction else { panic!() };
        let Source::Heredoc(heredoc) = &copy.sources[0] else { panic!() };
        prop_assert_eq!(&heredoc.text.text, &body);
        prop_assert_eq!(file.stages[0].steps.len(), 2);
    }

    #[test]
    fn a_continued_line_reads_as_if_it_were_not(
        words in prop::collection::vec("[a-z]{1,6}", 1..8),
        breaks in prop::collection::vec(0..4u8, 8),
    ) {
        let mut continued = String::from("RUN");
        let mut plain = String::from("RUN");
        for (word, gap) in words.iter().zip(&breaks) {
            continued.push_str(match gap {
                0 => " ",
                1 => " \\\n",
                2 => " \\\n# comment \\\n",
                _ => " \\  \n  # one\n# two\n",
            });
            continued.push_str(word);
            plain.push(' ');
            plain.push_str(word);
        }
        let text = |line: &str| {
            let (file, diagnostics) = dockerfile::parse(FileId(0), &format!("FROM a\n{line}\n"));
            assert!(diagnostics.is_empty(), "{diagnostics:?}");
            file.stages[0].steps[0].text.clone()
        };
        prop_assert_eq!(text(&continued), text(&plain));
    }
}
