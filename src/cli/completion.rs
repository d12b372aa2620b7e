//! `plimsoll completion`, and what `kubectl plimsoll` completes.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::files::print;

/// Prints a script by which a shell completes commands and options.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(plimsoll completion bash)\n  plimsoll completion zsh > \"${fpath[1]}/_plimsoll\"\n  \
    plimsoll completion fish > ~/.config/fish/completions/plimsoll.fish\n\n\
    For kubectl plimsoll install the program as kubectl-plimsoll, and link kubectl_complete-plimsoll to it: kubectl then asks it."
)]
pub(super) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: ShellChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShellChoice {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(super) fn execute(self, mut command: Command) -> Result<(), String> {
        let shell = match self.shell {
            ShellChoice::Bash => Shell::Bash,
            ShellChoice::Zsh => Shell::Zsh,
            ShellChoice::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, &mut command, "plimsoll", &mut script);
        let script =
            String::from_utf8(script).map_err(|error| format!("the script cannot be printed: {error}"))?;
        print(&script)
    }
}

/// What kubectl shows when asked to complete the last of these words, in the form that it reads: a candidate a line, with
/// a tab before its help, and a colon with what the shell shall do where none fits.
pub(super) fn candidates(command: &Command, words: &[String]) -> String {
    /// Complete files where nothing else fits.
    const FILES: u32 = 0;
    /// Complete nothing else.
    const NOTHING_ELSE: u32 = 4;
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let inner = before.iter().find_map(|word| command.find_subcommand(word));
    let here = inner.unwrap_or(command);
    let option = before.last().and_then(|word| {
        here.get_arguments()
            .find(|argument| argument.get_long().is_some_and(|long| *word == format!("--{long}")))
    });
    let help = |help: Option<&clap::builder::StyledStr>| help.map(ToString::to_string).unwrap_or_default();
    let mut found = Vec::new();
    let mut directive = NOTHING_ELSE;
    if let Some(option) = option.filter(|option| option.get_action().takes_values()) {
        for value in option.get_possible_values() {
            found.push((value.get_name().to_owned(), help(value.get_help())));
        }
        directive = if found.is_empty() { FILES } else { NOTHING_ELSE };
    } else if last.starts_with('-') {
        for argument in here.get_arguments().filter(|argument| !argument.is_hide_set()) {
            if let Some(long) = argument.get_long() {
                found.push((format!("--{long}"), help(argument.get_help())));
            }
        }
    } else if inner.is_none() {
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            found.push((subcommand.get_name().to_owned(), help(subcommand.get_about())));
        }
    } else {
        directive = FILES;
    }
    let mut text = String::new();
    for (word, help) in found.into_iter().filter(|(word, _)| word.starts_with(last)) {
        text.push_str(&word);
        if let Some(line) = help.lines().next().filter(|line| !line.is_empty()) {
            text.push('\t');
            text.push_str(line);
        }
        text.push('\n');
    }
    format!("{text}:{directive}\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Arguments;
    use super::*;

    fn completed(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let text = candidates(&Arguments::command(), &words);
        text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn kubectl_is_told_commands_options_and_values() {
        assert_eq!(completed(&["ex"]), ["explain", ":4"]);
        assert!(completed(&[""]).contains(&"simulate".to_owned()));
        assert_eq!(completed(&["explain", "--se"]), ["--set", ":4"]);
        assert_eq!(completed(&["explain", "--output", ""]), ["text", "json", ":4"]);
        assert_eq!(completed(&["lint", "pol"]), [":0"], "files, which the shell knows");
        assert_eq!(completed(&[]).last().map(String::as_str), Some(":4"));
    }
}
