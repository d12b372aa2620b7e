//! Values of options.

use crate::simulate::Source;

pub(super) fn coefficients(text: &str) -> Result<(f64, f64), String> {
    let fault = || {
        "write ALPHA,BETA: contention, 0 to below 1, and coherency, 0 or more; for example 0.03,0.0008"
            .to_owned()
    };
    let (alpha, beta) = text.split_once(',').ok_or_else(fault)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| fault());
    let (alpha, beta) = (number(alpha)?, number(beta)?);
    if (0.0..1.0).contains(&alpha) && beta >= 0.0 && beta.is_finite() {
        Ok((alpha, beta))
    } else {
        Err(fault())
    }
}

pub(super) fn percentage(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|percent| (0.0..100.0).contains(percent)).ok_or_else(|| {
        format!("{text:?} is not a percentage: write a number from 0 to below 100, for example 0.1")
    })
}

pub(super) fn granted(text: &str) -> Result<(String, u32), String> {
    let fault = || "write NAME=CONNECTIONS, for example orders-db=400".to_owned();
    let (name, connections) = text.split_once('=').ok_or_else(fault)?;
    Ok((name.to_owned(), connections.parse().map_err(|_| fault())?))
}

pub(super) fn reads(text: &str) -> Result<(String, Source), String> {
    let (name, source) =
        text.split_once('=').ok_or_else(|| "write METRIC=QUANTITY, for example p99=latency".to_owned())?;
    Ok((name.to_owned(), source.parse()?))
}

pub(super) fn scripted(text: &str) -> Result<(String, String), String> {
    let fault = || {
        "write GUARD=LOAD, for example db-cpu=spike:base=0.5,peak=0.95,at=20m,for=10m,length=1h".to_owned()
    };
    let (name, script) = text
        .split_once('=')
        .filter(|(name, script)| !name.is_empty() && !script.is_empty())
        .ok_or_else(fault)?;
    Ok((name.to_owned(), script.to_owned()))
}
