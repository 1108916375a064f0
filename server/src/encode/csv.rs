//! CSV cells.

/// Appends a text cell, quoted where its content needs it.
///
/// Spreadsheets run cells that begin like a formula, and the texts here come from whoever can send an event; such a cell
/// gets an apostrophe in front, which spreadsheets take as "this is text". Numbers do not come here.
pub fn push_text(out: &mut String, text: &str) {
    let disarm = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let quote = text.contains([',', '"', '\n', '\r']);
    if quote {
        out.push('"');
    }
    if disarm {
        out.push('\'');
    }
    if quote {
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_disarmed_where_needed() {
        for (text, expect) in [
            ("", ""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("-5", "'-5"),
            ("a\nb", "\"a\nb\""),
        ] {
            let mut out = String::new();
            push_text(&mut out, text);
            assert_eq!(out, expect);
        }
    }
}
