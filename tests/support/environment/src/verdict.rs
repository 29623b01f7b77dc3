//! What a program that measures ends with.

use std::process::ExitCode;

/// Waits for `run`, which returns the bounds that are broken, and prints them to stderr, or why it failed. Given up by Ctrl-C, it still ends its servers and
/// removes their folder.
pub async fn exit_code(run: impl Future<Output = anyhow::Result<Vec<String>>>) -> ExitCode {
    let result = tokio::select! {
        result = run => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            for bound in broken {
                eprintln!("broken: {bound}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}
