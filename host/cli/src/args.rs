//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs identity and data-platform workflows of sandboxed Wasm plugins.
#[derive(Debug, Parser)]
#[command(
    name = "lockkeeper",
    version,
    propagate_version = true,
    after_help = "Examples:\n  lockkeeper run onboard -i app_name=etl-demo\n  lockkeeper plan onboard -i app_name=etl-demo --target dev\n\nExit codes: lockkeeper explain exit-codes"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// What stdout carries.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "LOCKKEEPER_OUTPUT"
    )]
    pub(crate) output: Output,
    /// When to use colour.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "LOCKKEEPER_COLOR"
    )]
    pub(crate) color: Color,
    /// Say less: once for the summary only, twice for errors only.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
    /// Never ask; what would be asked must be said by a flag.
    #[arg(long, global = true, env = "LOCKKEEPER_NO_INPUT")]
    pub(crate) no_input: bool,
    /// The project folder, instead of the nearest one with a lockkeeper.toml.
    #[arg(long, global = true, value_name = "FOLDER", env = "LOCKKEEPER_PROJECT")]
    pub(crate) project: Option<PathBuf>,
}

/// What stdout carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// A JSON object per line, as things happen.
    Ndjson,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a project: the shipped workflows, the plugins' grants and a target.
    Init {
        /// Where; the current folder when left out.
        folder: Option<PathBuf>,
    },
    /// Show what a run would do, without doing it.
    Plan(Plan),
    /// Run a workflow.
    Run(Run),
    /// Go on with a run that was interrupted, cancelled or failed.
    Resume {
        /// The run's id, or the beginning of it.
        run: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take existing objects into the care of a workflow's steps. Shows what it changes, and asks.
    Adopt(Adopt),
    /// Take a run back.
    Undo(Undo),
    /// Compare what a run left with what is there now. Sends reads only; exits 7 on a difference.
    Drift {
        /// The workflow, whose last run is meant, or a run's id.
        what: String,
        #[command(flatten)]
        target: Target,
    },
    /// Check a workflow file and show all mistakes at once.
    Check(Check),
    /// Look at workflows.
    #[command(subcommand)]
    Workflow(Workflow),
    /// Look at runs.
    #[command(subcommand)]
    Runs(Runs),
    /// The local simulator of Entra, Azure and Databricks.
    #[command(subcommand)]
    Sim(Sim),
    /// Look at plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Explain an error code, or `exit-codes`.
    Explain {
        /// Such as LK0203.
        code: String,
    },
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a JSON Schema.
    #[command(subcommand)]
    Schema(Schema),
}

/// Where to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// A target of lockkeeper.toml; the simulator when there is none.
    #[arg(
        long = "target",
        id = "target",
        value_name = "NAME",
        env = "LOCKKEEPER_TARGET"
    )]
    pub(crate) name: Option<String>,
    /// The embedded simulator's timing: instant, typical, slow or flapping.
    #[arg(long, default_value = "instant", env = "LOCKKEEPER_SIM_PROFILE")]
    pub(crate) sim_profile: String,
    /// The embedded simulator's seed.
    #[arg(long, default_value_t = 1, env = "LOCKKEEPER_SIM_SEED")]
    pub(crate) sim_seed: u64,
}

/// What a workflow is given.
#[derive(Debug, Args)]
pub(crate) struct Inputs {
    /// An input; a record as inline TOML or JSON. May be given more than once.
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub(crate) input: Vec<String>,
    /// A TOML or JSON file of inputs; `-i` wins over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow's name or file; left out with --plan.
    #[arg(required_unless_present = "plan")]
    pub(crate) workflow: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    /// Run exactly this saved plan; refused if the world or the files changed since.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "inputs"])]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The workflow's name or file.
    pub(crate) workflow: String,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    /// Save the plan, for `run --plan`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit 7 when something would change.
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  lockkeeper adopt onboard register=6f0e4d2c-… job=991 -i app_name=etl-demo\n\nA plugin says in `lockkeeper plugin inspect` whether its steps adopt anything."
)]
pub(crate) struct Adopt {
    /// The workflow's name or file.
    pub(crate) workflow: String,
    /// A step, and an id of the object that it shall keep from now on.
    #[arg(required = true, value_name = "STEP=ID")]
    pub(crate) objects: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// The run's id, or the beginning of it.
    pub(crate) run: String,
    /// Take back what came after this step only.
    #[arg(long, value_name = "STEP")]
    pub(crate) to: Option<String>,
    /// Leave what this step wrote. May be given more than once.
    #[arg(long, value_name = "STEP")]
    pub(crate) keep: Vec<String>,
    /// Delete for good what services keep of deleted objects: the application and Key Vault secrets.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do it without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The workflow's name or file.
    pub(crate) workflow: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workflow {
    /// List the workflows.
    List,
    /// Check a workflow file and show all mistakes at once.
    Check(Check),
    /// Print the graph of a workflow's steps in DOT.
    Graph {
        /// The workflow's name or file.
        workflow: String,
    },
    /// Print a workflow's page in Markdown.
    Docs {
        /// The workflow's name or file.
        workflow: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List the runs, newest first.
    List {
        /// Only of this workflow.
        #[arg(long)]
        workflow: Option<String>,
    },
    /// Show a run: its steps, its calls and what became of them.
    Show {
        /// The run's id, or the beginning of it.
        run: String,
    },
    /// Follow a run until it ends.
    Watch {
        /// The run's id, or the beginning of it.
        run: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// Serve the simulator until interrupted.
    Start {
        /// The HTTPS port; a free one when 0.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// The plain-HTTP port; a free one when 0.
        #[arg(long, default_value_t = 0)]
        http_port: u16,
        /// Timing: instant, typical, slow or flapping.
        #[arg(long, default_value = "instant")]
        profile: String,
        /// Decides every drawn delay.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A fault rule as JSON. May be given more than once.
        #[arg(long, value_name = "JSON")]
        fault: Vec<String>,
    },
    /// Forget the simulated cloud.
    Reset,
    /// List the requests that the simulator has seen.
    Calls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Print what a plugin takes, gives and asks leave for.
    Inspect {
        /// A plugin's name, or a component file.
        plugin: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Of workflow files, completed by the plugins' own types.
    Workflow,
}
