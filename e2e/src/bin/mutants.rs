//! Breaks rules one after the other in a copy of the tree: those of connection budgets until a course of their model or a
//! test notices, those of the operator until a scenario or a seed of a world under fire does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use e2e::mutants::{Mutant, budgets, operator, scenarios};

#[derive(Parser)]
#[command(about = "Breaks rules one after the other, and looks whether a test or a seed notices")]
struct Arguments {
    /// How many seeds a broken rule of the operator may go unnoticed in
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
    /// What noticed, and what it said.
    Noticed(String, String),
    /// It does not even compile.
    Uncompiled(String),
    /// Nothing noticed.
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
    let bench = Bench { tree, build: std::path::absolute(arguments.directory.join("build"))? };
    let (mut rules, mut missed) = (0, Vec::new());
    let mut judge = |mutant: &Mutant, look: &dyn Fn() -> io::Result<Found>| {
        if !mutant.rule.contains(&arguments.only) {
            return Ok::<(), io::Error>(());
        }
        rules += 1;
        let started = Instant::now();
        let found = bench.broken(mutant, look)?;
        let took = started.elapsed().as_secs();
        match &found {
            Found::Noticed(by, said) => println!("noticed by {by} ({took} s): {}\n    {said}", mutant.rule),
            Found::Uncompiled(error) => println!("DOES NOT COMPILE: {}\n{error}", mutant.rule),
            Found::Survived => println!("NOT NOTICED ({took} s): {}", mutant.rule),
        }
        if !matches!(found, Found::Noticed(..)) {
            missed.push(mutant.rule);
        }
        Ok(())
    };
    for mutant in budgets::MUTANTS {
        judge(mutant, &|| bench.model())?;
    }
    for mutant in scenarios::MUTANTS {
        judge(mutant, &|| bench.scenarios())?;
    }
    for mutant in operator::MUTANTS {
        judge(mutant, &|| bench.seeds(arguments.seeds))?;
    }
    println!("{} of {rules} rules were noticed", rules - missed.len());
    Ok(missed.is_empty())
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

/// Where rules are broken and built.
struct Bench {
    tree: PathBuf,
    build: PathBuf,
}

impl Bench {
    /// Breaks a rule, looks what comes of it, and mends it.
    fn broken(&self, mutant: &Mutant, look: &dyn Fn() -> io::Result<Found>) -> io::Result<Found> {
        let file = self.tree.join(mutant.file);
        let whole = fs::read_to_string(&file)?;
        fs::write(&file, whole.replacen(mutant.text, mutant.instead, 1))?;
        let found = look();
        fs::write(&file, whole)?;
        found
    }

    /// Courses of the model of connection budgets, and the tests of what thinks.
    fn model(&self) -> io::Result<Found> {
        for (what, target) in [
            ("a course of the model", &["--test", "budget_model"][..]),
            ("a test", &["--lib", "--", "budget::"]),
            ("a test", &["--test", "who_wins", "--test", "properties"]),
        ] {
            let found = self.tests(what, "plimsoll", target)?;
            if !matches!(found, Found::Survived) {
                return Ok(found);
            }
        }
        Ok(Found::Survived)
    }

    /// Scenarios of the whole operator.
    fn scenarios(&self) -> io::Result<Found> {
        let targets: Vec<_> = scenarios::TESTS.into_iter().flat_map(|test| ["--test", test]).collect();
        self.tests("a scenario", "e2e", &targets)
    }

    /// Tests of a package, as `cargo test` takes them.
    fn tests(&self, what: &str, package: &str, target: &[&str]) -> io::Result<Found> {
        let mut compile = self.cargo();
        let target_only: Vec<_> = target.iter().take_while(|word| **word != "--").collect();
        compile.args(["test", "--quiet", "--package", package, "--no-run"]).args(target_only);
        let compiled = compile.output()?;
        if !compiled.status.success() {
            return Ok(Found::Uncompiled(errors(&compiled.stderr)));
        }
        let mut test = self.cargo();
        // Each of the rules shows within some hundreds.
        test.env("SEEDS", "3000");
        let tested =
            test.args(["test", "--quiet", "--no-fail-fast", "--package", package]).args(target).output()?;
        if tested.status.success() {
            return Ok(Found::Survived);
        }
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        let failed = said.lines().find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
        let why = said.lines().skip_while(|line| !line.contains(" panicked at ")).nth(1).unwrap_or_default();
        Ok(Found::Noticed(format!("{what}, {}", failed.unwrap_or("unnamed")), why.trim().to_owned()))
    }

    /// Seeds of worlds under fire.
    fn seeds(&self, seeds: u64) -> io::Result<Found> {
        let compiled =
            self.cargo().args(["build", "--quiet", "--package", "e2e", "--bin", "soak"]).output()?;
        if !compiled.status.success() {
            return Ok(Found::Uncompiled(errors(&compiled.stderr)));
        }
        let tested = Command::new(self.build.join("debug/soak"))
            .args(["--seeds", &seeds.to_string(), "--failures", "1"])
            .output()?;
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        let seed = said.lines().find_map(|line| line.strip_prefix("seed ")?.strip_suffix(':'));
        let first = said.lines().skip_while(|line| !line.starts_with("seed ")).nth(1).unwrap_or_default();
        let noticed = |seed: &str| Found::Noticed(format!("seed {seed}"), first.trim().to_owned());
        Ok(seed.map_or(Found::Survived, noticed))
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.build).env("RUST_BACKTRACE", "0");
        // Each is built once and run for some seconds: the time goes into the build.
        for unoptimized in ["plimsoll", "e2e"] {
            cargo.args(["--config", &format!("profile.dev.package.{unoptimized}.opt-level=0")]);
            cargo.args(["--config", &format!("profile.dev.package.{unoptimized}.debug=false")]);
        }
        cargo
    }
}

/// What a compiler says, without where.
fn errors(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().filter(|line| line.starts_with("error")).collect::<Vec<_>>().join("\n")
}
