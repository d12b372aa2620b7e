//! Breaks the operator's rules one after the other in a copy of the tree, and runs seeds until one notices.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use e2e::chaos::mutants::{MUTANTS, Mutant};

#[derive(Parser)]
#[command(about = "Breaks the operator's rules one after the other, and runs seeds until one notices")]
struct Arguments {
    /// How many seeds a broken rule may go unnoticed in
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Where the copy is made and built; kept, so that the next time is quicker
    #[arg(long, default_value = "target/mutants")]
    directory: PathBuf,
    /// Only rules whose words contain this
    #[arg(long, default_value = "")]
    only: String,
}

/// What became of a broken rule.
enum Found {
    /// The seed that noticed, and what it said.
    Seed(String, String),
    /// It does not even compile.
    Uncompiled(String),
    /// Nobody noticed.
    Survived,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match all(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the rules could not be broken: {error}");
            ExitCode::from(2)
        }
    }
}

fn all(arguments: &Arguments) -> io::Result<bool> {
    let tree = arguments.directory.join("tree");
    copy(&tree)?;
    let mut caught = true;
    for mutant in MUTANTS.iter().filter(|mutant| mutant.rule.contains(&arguments.only)) {
        let started = Instant::now();
        let found = one(&tree, &arguments.directory.join("build"), mutant, arguments.seeds)?;
        let took = started.elapsed().as_secs();
        match found {
            Found::Seed(seed, said) => {
                println!("caught by seed {seed:>5} ({took} s)  {}\n      {said}", mutant.rule);
            }
            Found::Uncompiled(error) => {
                caught = false;
                println!("does not compile  {}\n{error}", mutant.rule);
            }
            Found::Survived => {
                caught = false;
                println!("SURVIVED {} seeds ({took} s)  {}", arguments.seeds, mutant.rule);
            }
        }
    }
    Ok(caught)
}

/// Copies what the repository holds, changes included.
fn copy(tree: &Path) -> io::Result<()> {
    let listed =
        Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).output()?;
    for file in String::from_utf8_lossy(&listed.stdout).lines().map(Path::new).filter(|file| file.is_file()) {
        let (to, content) = (tree.join(file), fs::read(file)?);
        // An unchanged file keeps its time, so that it is not built again.
        if fs::read(&to).is_ok_and(|known| known == content) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        fs::write(to, content)?;
    }
    Ok(())
}

fn one(tree: &Path, build: &Path, mutant: &Mutant, seeds: u64) -> io::Result<Found> {
    let file = tree.join(mutant.file);
    let whole = fs::read_to_string(&file)?;
    fs::write(&file, whole.replacen(mutant.text, mutant.instead, 1))?;
    let found = run(tree, build, seeds);
    fs::write(&file, whole)?;
    found
}

fn run(tree: &Path, build: &Path, seeds: u64) -> io::Result<Found> {
    let build = std::path::absolute(build)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", &build);
    // Each is built once and run for some seconds: the time goes into the build.
    for unoptimized in ["plimsoll", "e2e"] {
        cargo.args(["--config", &format!("profile.dev.package.{unoptimized}.opt-level=0")]);
        cargo.args(["--config", &format!("profile.dev.package.{unoptimized}.debug=false")]);
    }
    let compiled = cargo.args(["build", "--quiet", "--package", "e2e", "--bin", "soak"]).output()?;
    if !compiled.status.success() {
        let words = String::from_utf8_lossy(&compiled.stderr)
            .lines()
            .filter(|line| line.starts_with("error"))
            .collect::<Vec<_>>()
            .join("\n");
        return Ok(Found::Uncompiled(words));
    }
    let tested = Command::new(build.join("debug/soak"))
        .args(["--seeds", &seeds.to_string(), "--failures", "1"])
        .output()?;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    let seed = said.lines().find_map(|line| line.strip_prefix("seed ")?.strip_suffix(':'));
    let first = said.lines().skip_while(|line| !line.starts_with("seed ")).nth(1).unwrap_or_default();
    Ok(seed.map_or(Found::Survived, |seed| Found::Seed(seed.to_owned(), first.trim().to_owned())))
}
