//! Names of backend counters in the output of `varnishstat -j` (Varnish documentation, varnish-counters, "VBE").

/// The VCL of the last backend in the text. varnishstat lists backends by age, an order that the JSON parser does not
/// keep.
pub fn newest_vcl(text: &str) -> &str {
    let last = text.rsplit_once("\"VBE.").and_then(|(_, rest)| rest.split_once('"'));
    last.and_then(|(name, _)| backend(name)).map_or("", |(vcl, ..)| vcl)
}

/// VCL, backend and counter in a name such as `boot.default.req`. In 4.0, `default(127.0.0.1,,81).req`, there is no
/// VCL: empty.
pub fn backend(name: &str) -> Option<(&str, &str, &str)> {
    let (whole, counter) = name.rsplit_once('.')?;
    match whole.split_once('.') {
        Some((vcl, backend)) if !vcl.contains('(') => Some((vcl, backend, counter)),
        _ => Some(("", whole.split('(').next()?, counter)),
    }
}
