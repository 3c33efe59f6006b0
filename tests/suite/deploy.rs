//! What is installed beside the programs: manual pages and completions are those of the option tables, units are
//! what systemd accepts, and `make install` puts everything where it belongs.

use crate::common::*;
use localsocket::programs::cli::Program;
use localsocket::protocol::BUILT_IN;
use std::process::Output;

const PROGRAMS: [Program; 3] = [options::server::PROGRAM, options::client::PROGRAM, options::bench::PROGRAM];

/// Runs a command to its end; `None`, and a line that says so, if there is no such program here.
fn output(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(_) => {
            eprintln!("SKIPPED: there is no {}", command.get_program().display());
            None
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The options of a manual page.
fn options_of(program: &Program) -> String {
    let mut page = String::new();
    for option in program.options() {
        let short = option.short.map_or(String::new(), |short| format!("\\fB\\-{short}\\fR, "));
        let value = option.value.map_or(String::new(), |value| format!(" \\fI{value}\\fR"));
        let default = Some(option.default).filter(|default| !default.is_empty());
        let default = default.map_or(String::new(), |default| format!(" [default: {default}]"));
        let (long, meaning) =
            (option.long.replace('-', "\\-"), (option.meaning.to_owned() + &default).replace('-', "\\-"));
        page += &format!(".TP\n{short}\\fB\\-\\-{long}\\fR{value}\n{meaning}\n");
    }
    page
}

#[test]
fn generated_options_of_the_manual_pages_are_those_of_the_tables() {
    for program in PROGRAMS {
        let path = source(&format!("src/deploy/man/{}.1", program.name));
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.contains(concat!("\"localsocket ", env!("CARGO_PKG_VERSION"), "\"")), "{}", path.display());
        is_generated(&path, "begin of the generated options\n", ".\\\" end of", &options_of(&program), str::to_owned);
    }
}

#[test]
fn the_manual_page_of_the_server_has_every_command() {
    let page = fs::read_to_string(source("src/deploy/man/localsocket-server.1")).unwrap();
    let named: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR")).collect();
    for command in BUILT_IN {
        let usage = command.usage.split(['<', '>']).enumerate();
        let usage: String = usage.map(|(i, part)| if i % 2 == 1 { part.to_uppercase() } else { part.into() }).collect();
        assert!(named.iter().any(|names| names.split(", ").any(|name| name == usage)), "no {usage}");
    }
}

#[test]
fn shells_complete_what_the_help_text_lists() {
    let directory = TempDir::new();
    let fish = directory.join("localsocket-server.fish");
    fs::copy(source("src/deploy/completions/localsocket.fish"), &fish).unwrap();
    let [bash, zsh] = ["bash", "zsh"].map(|shell| source(&format!("src/deploy/completions/localsocket.{shell}")));
    let programs = programs();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    for (word, wanted) in [
        ("--max-b", "--max-backlog"),
        ("--he", "--help"),
        ("--m", "--max-backlog --max-clients --max-line --mode"),
        ("--no-such", ""),
    ] {
        let program = "localsocket-server";
        let (bash, zsh, fish) = (bash.display(), zsh.display(), fish.display());
        // What the shell itself adds is replaced: the choice among the words that fit, and in zsh the line.
        let in_bash = format!(". {bash}; _localsocket {program} {word}; printf '%s\\n' \"${{COMPREPLY[@]}}\"");
        let compadd = "compadd() { print -l -- ${(M)@[2,-1]:#$PREFIX*} }";
        let in_zsh = format!("{compadd}; words=({program}) PREFIX={word}; . {zsh}");
        let in_fish = format!("source {fish}; complete -C '{program} {word}'");
        for (shell, option, script) in
            [("bash", "--norc", in_bash), ("zsh", "-f", in_zsh), ("fish", "--no-config", in_fish)]
        {
            let mut command = Command::new(shell);
            let Some(found) = output(command.env("PATH", &path).args([option, "-c", &script])) else { continue };
            let found = text(&found);
            let mut found: Vec<&str> = found.split_whitespace().collect();
            found.sort_unstable();
            assert_eq!(found.join(" "), wanted, "{shell}: {word}");
        }
    }
}

#[test]
fn manual_pages_format_without_a_warning_and_without_a_broken_word() {
    for program in PROGRAMS {
        let page = source(&format!("src/deploy/man/{}.1", program.name));
        for width in (60..100).step_by(6) {
            let mut groff = Command::new("groff");
            groff.args(["-man", "-Tascii", "-ww", &format!("-rLL={width}n")]).arg(&page);
            let Some(formatted) = output(&mut groff) else { return };
            let [page, warnings] = [&formatted.stdout, &formatted.stderr].map(|said| String::from_utf8_lossy(said));
            // Narrow pages have lines that cannot be filled.
            assert!(width < 78 || warnings.is_empty(), "{} at {width}: {warnings}", program.name);
            let broken = page.lines().find(|line| line.ends_with('-') && !line.ends_with("--"));
            assert_eq!(broken, None, "{} at {width}", program.name);
        }
    }
}

/// The units as `make install-systemd` installs them, running the programs just built, with their drop-ins.
fn install_units() -> TempDir {
    let directory = TempDir::new();
    let programs = programs();
    let install = |file: &str, to: &str| {
        let unit = fs::read_to_string(source(&format!("src/deploy/systemd/{file}"))).unwrap();
        let unit = unit.replace("ExecStart=localsocket", &format!("ExecStart={}/localsocket", programs.display()));
        let to = directory.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, unit).unwrap();
    };
    for unit in ["localsocket@.socket", "localsocket@.service", "localsocket.socket", "localsocket.service"] {
        install(unit, unit);
    }
    install("join.conf", "localsocket@joined.service.d/join.conf");
    install("token.conf", "localsocket.service.d/token.conf");
    directory
}

#[test]
fn systemd_finds_no_mistake_in_the_units() {
    let directory = install_units();
    let path = format!("{}:", directory.0.display());
    let units = ["@kitchen.socket", "@kitchen.service", "@joined.service", ".socket", ".service"];
    for unit in units.map(|name| format!("localsocket{name}")) {
        let mut systemd = Command::new("systemd-analyze");
        let systemd = systemd.args(["verify", "--man=no", &unit]).env("SYSTEMD_UNIT_PATH", &path);
        let Some(verified) = output(systemd) else { return };
        // A container may have no systemd running, which it may say; what it finds in the units names them.
        let found = text(&verified);
        let found: Vec<&str> = found.lines().filter(|line| line.contains("localsocket")).collect();
        assert!(found.is_empty(), "{unit}: {found:#?}");
    }
}

#[test]
fn a_room_on_a_unix_socket_is_well_confined() {
    let directory = install_units();
    let mut systemd = Command::new("systemd-analyze");
    let unit = directory.join("localsocket@.service");
    let Some(rated) = output(systemd.args(["security", "--offline=true", "--threshold=15"]).arg(unit)) else { return };
    let rated = text(&rated);
    let Some((_, level)) = rated.split_once("exposure level for localsocket@i.service: ") else {
        return eprintln!("SKIPPED: this systemd-analyze does not rate files: {rated}");
    };
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level < 1.5, "{rated}");
}

/// What launchd would run, read by another parser and run here for a user whose home is a directory of the test.
#[test]
fn the_property_list_of_launchd_starts_a_room() {
    let parse = "import plistlib, sys; print(plistlib.load(open(sys.argv[1], 'rb'))['ProgramArguments'][2])";
    let list = source("src/deploy/launchd/localsocket.plist");
    let Some(command) = output(Command::new("python3").args(["-c", parse]).arg(&list)) else { return };
    let command = text(&command).replace("/usr/local/bin/", &format!("{}/", programs().display()));
    let home = TempDir::new();
    for directory in ["Library/Caches", "Library/Logs"] {
        fs::create_dir_all(home.join(directory)).unwrap();
    }
    let server = ServerProgram::from_command(Command::new("sh").args(["-c", &command]).env("HOME", &home.0));
    server.connect().ping();
    assert_eq!(server.address().to_string(), format!("unix:{}/Library/Caches/localsocket.sock", home.0.display()));
    // A thread of its own writes the log.
    let log = home.join("Library/Logs/localsocket.log");
    wait_for("the start in the log", || fs::read_to_string(&log).unwrap().contains("room mode"));
}

fn make(directory: &TempDir, target: &str) -> Option<Output> {
    let destination = format!("DESTDIR={}", directory.join("root").display());
    let mut make = Command::new(if cfg!(any(target_os = "linux", target_vendor = "apple")) { "make" } else { "gmake" });
    make.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", directory.join("target"));
    // Run by `make test`, this make is not part of that one.
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
        make.env_remove(name);
    }
    // No cargo, as under sudo.
    output(make.args([target, &destination, "CARGO=false"]))
}

fn files_below(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path.display().to_string()) }
        }
    }
    files.sort();
    files
}

#[test]
fn make_install_copies_what_is_built_and_make_uninstall_removes_it() {
    let directory = TempDir::new();
    let root = directory.join("root");
    let Some(failed) = make(&directory, "install") else { return };
    assert!(!failed.status.success() && text(&failed).contains("run 'make build' first"), "{failed:?}");
    assert_eq!(files_below(&root), Vec::<String>::new());

    let built = directory.join("target/release");
    fs::create_dir_all(&built).unwrap();
    for program in PROGRAMS {
        fs::copy("/bin/sh", built.join(program.name)).unwrap();
    }
    let all = |targets: [&str; 2]| {
        let made = targets.map(|target| make(&directory, target).unwrap());
        assert!(made.iter().all(|made| made.status.success()), "{made:?}");
        files_below(&root)
    };
    let files = all(["install", "install-systemd"]);
    assert_eq!(files.len(), 3 * 5 + 4 + 2, "{files:#?}");
    for file in files.iter().filter(|file| file.ends_with(".service") || file.ends_with(".conf")) {
        let unit = fs::read_to_string(file).unwrap();
        let mut starts = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).filter(|run| !run.is_empty());
        assert!(starts.all(|run| run.starts_with("/usr/local/bin/localsocket-server ")), "{file}: {unit}");
    }
    for file in ["usr/local/share/man/man1/localsocket-client.1", "etc/systemd/system/localsocket@.socket"] {
        assert!(files.contains(&root.join(file).display().to_string()), "no {file} in {files:#?}");
    }
    assert_eq!(all(["uninstall", "uninstall-systemd"]), Vec::<String>::new());
}

#[test]
fn the_debian_package_finds_its_files() {
    let manifest = fs::read_to_string(source("Cargo.toml")).unwrap();
    let assets: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("  [\"src/")?.split('"').next()).collect();
    assert!(assets.len() > 9, "{assets:?}");
    for asset in assets {
        let (folder, name) = asset.rsplit_once('/').unwrap();
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        let files = files_below(&source("src").join(folder));
        let fits =
            |file: &String| file.rsplit('/').next().is_some_and(|file| file.starts_with(start) && file.ends_with(end));
        assert!(files.iter().any(fits), "no src/{asset}");
    }
}

#[test]
fn the_package_holds_what_users_of_the_crate_need_and_nothing_else() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["package", "--list", "--allow-dirty", "--offline"]);
    let Some(listed) = output(&mut cargo) else { return };
    assert!(listed.status.success(), "{listed:?}");
    let files = String::from_utf8(listed.stdout).unwrap();
    let expected = |file: &str| {
        let made_by_cargo = ["Cargo.toml", "Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"].contains(&file);
        let documents = ["README.md", "CHANGELOG.md", "LICENSE"].contains(&file);
        let endings = [".rs", ".md", ".svg", ".lua"];
        made_by_cargo || documents || file.starts_with("src/") && endings.iter().any(|ending| file.ends_with(ending))
    };
    let unexpected: Vec<&str> = files.lines().filter(|file| !expected(file)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for file in ["README.md", "LICENSE", "src/lib.rs", "src/protocol.md", "src/guide/options.md", "src/guide/how.svg"] {
        assert!(files.lines().any(|line| line == file), "no {file} in {files}");
    }
}
