//! Printing a finding the way rustc prints its own.

use annotate_snippets::{AnnotationKind, Level, Patch, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Span;

impl Diagnostic {
    /// The finding as text: plain, or with the terminal colours that rustc uses.
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut main = level
            .primary_title(&self.message)
            .id(self.code)
            .elements(None::<Snippet<'_, annotate_snippets::Annotation<'_>>>);
        let mut patches = Vec::new();
        if let Some(source) = &self.source {
            let text = source.text.as_str();
            let within = |span: &Span| span.start.min(text.len())..span.end.min(text.len());
            let primary = AnnotationKind::Primary
                .span(within(&self.span))
                .label(&self.label);
            let others = self.labels.iter().map(|label| {
                AnnotationKind::Context
                    .span(within(&label.span))
                    .label(&label.text)
            });
            main = main.element(
                Snippet::source(text)
                    .path(&source.path)
                    .annotation(primary)
                    .annotations(others),
            );
            for edit in &self.suggestions {
                patches.push(
                    Level::HELP.secondary_title(&edit.message).element(
                        Snippet::source(text)
                            .path(&source.path)
                            .patch(Patch::new(within(&edit.span), &edit.replacement)),
                    ),
                );
            }
        }
        main = main
            .elements(self.notes.iter().map(|note| Level::NOTE.message(note)))
            .elements(self.help.iter().map(|help| Level::HELP.message(help)));
        let mut report = vec![main];
        report.append(&mut patches);
        renderer.render(&report)
    }
}
