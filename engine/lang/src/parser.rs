//! Tokens to tree: the state that every grammar rule works on, and the entry points.
//!
//! A rule of `grammar/` returns a node or the diagnostic that ends the parse: after a mistake in the shape of the text
//! there is nothing sensible to go on with. Mistakes that leave the shape intact (an unknown function, a wrong number of
//! arguments, an invalid pattern, an unbound name) are noted and the parse continues, so that all of them are reported.
//!
//! Names are bound backwards. `any(body for x in list)` uses its variable before naming it, so a rule that binds `x` over
//! a body takes from `unbound` the uses of `x` since the body began; what is left at the end has no binder. An inner
//! binder comes first and takes its uses away, which is exactly static scope with hiding.

use std::collections::HashMap;

use crate::{
    Diagnostic,
    ast::{Expr, Span},
    diagnostic::Stop,
    function, grammar,
    lexer::lex,
    token::{Keyword, Symbol, Token, TokenKind},
};

/// The longest text that is parsed, in bytes.
pub const TEXT_BYTES_MAX: usize = 65_536;

/// The deepest nesting of parentheses, lists, calls and prefix operators.
pub const DEPTH_MAX: usize = 256;

/// So many unknown names are compared with the variables in scope; a text can hold thousands of both.
const NAMES_SUGGESTED_MAX: usize = 16;

/// What came of a text: a tree exactly when there are no diagnostics.
#[derive(Debug)]
pub struct Parse {
    pub tree: Option<Expr>,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a text. Never fails, never panics: what is wrong is in the diagnostics.
pub fn parse(text: &str) -> Parse {
    parse_within(text, TEXT_BYTES_MAX)
}

/// As [`parse`], with another bound on the length of the text.
pub fn parse_within(text: &str, bytes_max: usize) -> Parse {
    if text.len() > bytes_max {
        let message = format!("expression too long, bytes={}, bytes_max={bytes_max}", text.len());
        return Parse { tree: None, diagnostics: vec![Diagnostic::new(message, 0..text.len())] };
    }
    let mut parser = Parser::new(text);
    let parsed = grammar::whole_text(&mut parser);
    let mut diagnostics = parser.diagnostics;
    let tree = match parsed {
        Ok(tree) => {
            diagnostics.extend(unbound_names(parser.unbound, &parser.scopes));
            Some(tree)
        }
        Err(stop) => {
            diagnostics.push(*stop);
            None
        }
    };
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Parse { tree: tree.filter(|_| diagnostics.is_empty()), diagnostics }
}

/// Parses a text to its tree or the first diagnostic.
pub fn parse_expression(text: &str) -> Result<Expr, Diagnostic> {
    parse(text).into_result()
}

impl Parse {
    /// The tree, or the first diagnostic.
    pub fn into_result(self) -> Result<Expr, Diagnostic> {
        match (self.tree, self.diagnostics.into_iter().next()) {
            (Some(tree), None) => Ok(tree),
            (_, Some(diagnostic)) => Err(diagnostic),
            (None, None) => Err(Diagnostic::new("expected an expression", 0..0)),
        }
    }
}

fn unbound_names(unbound: HashMap<&str, Vec<Span>>, scopes: &[Scope<'_>]) -> Vec<Diagnostic> {
    let mut uses: Vec<(&str, Span)> =
        unbound.into_iter().flat_map(|(name, spans)| spans.into_iter().map(move |span| (name, span))).collect();
    uses.sort_by_key(|(_, span)| span.start);
    let uses = uses.into_iter().enumerate().map(|(number, (name, span))| {
        let meant = if number < NAMES_SUGGESTED_MAX { variable_meant(name, &span, scopes) } else { None };
        let message = format!("unknown name `{name}`; a property is read as properties[\"{name}\"]");
        Diagnostic::new(message, span).suggesting(meant)
    });
    uses.collect()
}

/// The variable that was probably meant by an unknown name: one of those whose body the name is in.
fn variable_meant<'t>(name: &str, span: &Span, scopes: &[Scope<'t>]) -> Option<&'t str> {
    let visible = scopes.iter().filter(|scope| scope.body.contains(&span.start)).map(|scope| scope.name);
    function::nearest_variable(name, visible)
}

/// A bound variable and the part of the text that sees it.
struct Scope<'t> {
    name: &'t str,
    body: Span,
}

/// A position in the tokens, and what has been noted so far.
pub(crate) struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    depth: usize,
    /// Uses of names that no binder has claimed yet, by name, in the order of the text.
    unbound: HashMap<&'t str, Vec<Span>>,
    /// The binders so far, inner ones before outer ones.
    scopes: Vec<Scope<'t>>,
    diagnostics: Vec<Diagnostic>,
    /// Why the last token is `Invalid`, if it is.
    lexical: Option<Diagnostic>,
    end: Token<'t>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        let (tokens, lexical) = lex(text);
        let end = Token { kind: TokenKind::End, span: text.len()..text.len() };
        let (unbound, scopes, diagnostics) = (HashMap::new(), Vec::new(), Vec::new());
        Self { tokens, at: 0, depth: 0, unbound, scopes, diagnostics, lexical, end }
    }

    /// The token that comes next; at the end, `End` again and again.
    pub(crate) fn peek(&self) -> &Token<'t> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> &Token<'t> {
        self.tokens.get(self.at + ahead).unwrap_or(&self.end)
    }

    pub(crate) fn next_is(&self, symbol: Symbol) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    pub(crate) fn eat(&mut self, symbol: Symbol) -> bool {
        let hit = self.next_is(symbol);
        if hit {
            self.advance();
        }
        hit
    }

    /// Takes the symbol and gives its end.
    pub(crate) fn expect(&mut self, symbol: Symbol, expected: &str) -> Result<usize, Stop> {
        if !self.next_is(symbol) {
            return Err(self.unexpected(expected));
        }
        let end = self.peek().span.end;
        self.advance();
        Ok(end)
    }

    pub(crate) fn expect_keyword(&mut self, keyword: Keyword, expected: &str) -> Result<(), Stop> {
        if self.peek().kind != TokenKind::Keyword(keyword) {
            return Err(self.unexpected(expected));
        }
        self.advance();
        Ok(())
    }

    /// Takes a word that may name a variable.
    pub(crate) fn expect_variable(&mut self) -> Result<&'t str, Stop> {
        match self.peek().kind {
            TokenKind::Word(word) if !function::is_reserved(word) => {
                self.advance();
                Ok(word)
            }
            TokenKind::Word(word) => {
                let message = format!("`{word}` is reserved and cannot name a variable");
                Err(Box::new(Diagnostic::new(message, self.peek().span.clone())))
            }
            _ => Err(self.unexpected("the name of a variable")),
        }
    }

    /// The diagnostic for the next token: the lexer's own if it stopped here.
    pub(crate) fn unexpected(&self, expected: &str) -> Stop {
        let token = self.peek();
        if token.kind == TokenKind::Invalid
            && let Some(lexical) = &self.lexical
        {
            return Box::new(lexical.clone());
        }
        Box::new(Diagnostic::new(format!("expected {expected}, found {}", token.kind), token.span.clone()))
    }

    /// Whether to look for what was meant: that takes far longer than parsing, and nobody reads a hundred suggestions.
    pub(crate) fn may_suggest(&self) -> bool {
        const SUGGESTIONS_MAX: usize = 16;
        self.diagnostics.len() < SUGGESTIONS_MAX
    }

    /// Notes a mistake that leaves the shape of the text intact.
    pub(crate) fn note(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Goes one level deeper, at the next token; every `enter` is followed by a `leave` unless the parse ends.
    pub(crate) fn enter(&mut self) -> Result<(), Stop> {
        if self.depth == DEPTH_MAX {
            let message = format!("expression nests too deeply, depth_max={DEPTH_MAX}");
            return Err(Box::new(Diagnostic::new(message, self.peek().span.clone())));
        }
        self.depth += 1;
        Ok(())
    }

    /// Enters a call: takes its name, which comes next, and the parenthesis. Gives the start of the name.
    pub(crate) fn open_call(&mut self, name: &str) -> Result<usize, Stop> {
        let start = self.peek().span.start;
        self.enter()?;
        self.advance();
        if !self.eat(Symbol::ParenOpen) {
            return Err(self.unexpected(&format!("`(` after `{name}`")));
        }
        Ok(start)
    }

    /// Leaves a call or parentheses and gives the end of the closing one.
    pub(crate) fn close(&mut self, expected: &str) -> Result<usize, Stop> {
        let end = self.expect(Symbol::ParenClose, expected)?;
        self.leave();
        Ok(end)
    }

    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Notes the use of a name, to be claimed by a binder later.
    pub(crate) fn use_name(&mut self, name: &'t str, span: Span) {
        self.unbound.entry(name).or_default().push(span);
    }

    /// Claims the uses of `name` from byte `since` on: those in the body of its binder.
    pub(crate) fn bind_since(&mut self, name: &'t str, since: usize) {
        self.scopes.push(Scope { name, body: since..self.peek().span.start });
        if let Some(uses) = self.unbound.get_mut(name) {
            while uses.pop_if(|span| span.start >= since).is_some() {}
        }
    }
}
